// RingDomain: one domain that one pool follows: when to ask, what the answers mean, what may be
// done now, and what people are told of it.
//
// Each outcome has a rule of its own: an answer is what the claims become; a failure keeps them; a
// name that is gone, or has no such records, is believed after Timing::hold.
//
// Pure: time and chance are arguments. Thread safety: the control thread. Ownership: RingProvider.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "server/control/model.h"
#include "server/providers/ring_plan.h"

namespace sidelb::providers {

class RingDomain {
 public:
  struct Timing {
    absl::Duration hold = absl::Seconds(30);          // before an empty answer is believed
    absl::Duration least_between = absl::Seconds(1);  // lookups that failed connects bring about
    absl::Duration first_retry = absl::Seconds(1);
    absl::Duration longest_retry = absl::Seconds(10);  // after failures
    absl::Duration longest_empty_retry = absl::Seconds(5);
    absl::Duration look_for_probes = absl::Milliseconds(100);  // while removals wait
    absl::Duration look_for_guard = absl::Seconds(1);
  };
  struct Line {
    bool is_warning = false;
    std::string text;
  };

  RingDomain(std::string pool, control::RingDomainSpec spec, const Timing& timing, absl::Time now);

  const std::string& pool() const { return pool_; }
  const control::RingDomainSpec& spec() const { return spec_; }
  std::string owner() const { return control::RingOwner(spec_); }

  // When StartLookup() or Plan() is due; InfiniteFuture() when neither is.
  absl::Time next_event() const;

  bool IsLookupDue(absl::Time now) const { return !is_looking_ && now >= next_lookup_; }
  void StartLookup(absl::Time now);
  // Its result; a line for the log when the outcome is another one than before.
  std::optional<Line> OnResult(const DnsResult& result, absl::Time now, double chance);
  // Somebody could not connect to a backend of the pool: what is known may be old.
  void OnConnectFailure(absl::Time now);

  bool IsPlanDue(absl::Time now) const { return now >= next_plan_; }
  ClaimPlan Plan(const control::PoolReading& reading, absl::Time now);
  // A line for the log when removals begin or cease to be held by the guard, by the last plan.
  std::optional<Line> TakeHoldLine();
  // The claims were refused, as by the limit of backends: they stay as they are. Told once.
  std::optional<Line> OnApplied(const absl::Status& status, absl::Time now);

  std::vector<control::Condition> GetConditions() const;

 private:
  std::string Name() const;  // "web/db.example"
  bool IsFailing() const;

  const std::string pool_;
  const control::RingDomainSpec spec_;
  const Timing timing_;

  absl::Time next_lookup_;
  absl::Time last_lookup_ = absl::InfinitePast();
  bool is_looking_ = false;
  uint32_t attempts_ = 0;  // lookups in a row without an answer
  std::optional<DnsOutcome> outcome_;
  std::string error_;
  std::optional<absl::Time> failing_since_;
  std::optional<absl::Time> empty_since_;

  std::optional<WantedClaims> wanted_;  // the last that is believed
  absl::Time next_plan_ = absl::InfiniteFuture();
  std::string refusal_;
  std::optional<absl::Time> refused_since_;
  size_t held_ = 0;  // by the guard
  absl::Time held_since_;
  std::optional<Line> hold_line_;
};

}  // namespace sidelb::providers
