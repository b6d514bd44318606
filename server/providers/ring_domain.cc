#include "server/providers/ring_domain.h"

#include <algorithm>
#include <utility>

#include "fmt/format.h"

namespace sidelb::providers {

RingDomain::RingDomain(std::string pool, control::RingDomainSpec spec, const Timing& timing,
                       absl::Time now)
    : pool_(std::move(pool)), spec_(std::move(spec)), timing_(timing), next_lookup_(now) {}

std::string RingDomain::Name() const { return fmt::format("{}/{}", pool_, spec_.domain); }

absl::Time RingDomain::next_event() const {
  return is_looking_ ? next_plan_ : std::min(next_lookup_, next_plan_);
}

void RingDomain::StartLookup(absl::Time now) {
  is_looking_ = true;
  last_lookup_ = now;
}

void RingDomain::OnConnectFailure(absl::Time now) {
  next_lookup_ = std::min(next_lookup_, std::max(now, last_lookup_ + timing_.least_between));
}

bool RingDomain::IsFailing() const {
  return outcome_.has_value() && (outcome_ != DnsOutcome::kAnswer || !error_.empty());
}

std::optional<RingDomain::Line> RingDomain::OnResult(const DnsResult& result, absl::Time now,
                                                     double chance) {
  is_looking_ = false;
  const bool was_failing = IsFailing();
  const std::optional<DnsOutcome> before = outcome_;
  outcome_ = result.outcome;
  error_ = result.error;
  std::vector<control::BackendSpec> backends;
  if (outcome_ == DnsOutcome::kAnswer) {
    backends = BackendsOf(spec_, result.targets);
    if (backends.empty()) {
      outcome_ = DnsOutcome::kEmpty;
      error_ = "no address that can be connected to";
    } else if (backends.size() > control::kMaxBackends) {
      outcome_ = DnsOutcome::kFailure;
      error_ =
          fmt::format("{} backends; allowed: at most {}", backends.size(), control::kMaxBackends);
    }
  }
  const size_t count = backends.size();
  const bool is_empty = outcome_ == DnsOutcome::kEmpty || outcome_ == DnsOutcome::kNoDomain;
  if (outcome_ == DnsOutcome::kAnswer) {
    attempts_ = 0;
    next_lookup_ = now + RefreshDelay(spec_, result.targets, chance);
    wanted_ = WantedClaims{.backends = std::move(backends),
                           .has_all_v4 = result.has_all_v4,
                           .has_all_v6 = result.has_all_v6};
    next_plan_ = now;
  } else {
    const absl::Duration longest =
        std::min(is_empty ? timing_.longest_empty_retry : timing_.longest_retry,
                 std::max(control::EffectiveMaxTtl(spec_), timing_.first_retry));
    next_lookup_ = now + RetryDelay(timing_.first_retry, longest, ++attempts_, chance);
  }
  if (!is_empty) {
    empty_since_.reset();
  } else if (!empty_since_.has_value()) {
    empty_since_ = now;
    // What still waits is of an answer that does not hold any more.
    next_plan_ = now + timing_.hold;
  }
  if (!IsFailing()) {
    failing_since_.reset();
  } else if (!failing_since_.has_value()) {
    failing_since_ = now;
  }
  if (before == outcome_ && was_failing == IsFailing()) return std::nullopt;
  if (!IsFailing()) {
    return Line{.text = fmt::format("ring domain {}: {} backends", Name(), count)};
  }
  const std::string what =
      is_empty ? fmt::format("believed when it lasts {}", absl::FormatDuration(timing_.hold))
      : outcome_ == DnsOutcome::kAnswer
          ? fmt::format("{} backends, and what is not known stays", count)
          : "its backends stay";
  return Line{.is_warning = true,
              .text = fmt::format("ring domain {}: {}; {}", Name(), error_, what)};
}

ClaimPlan RingDomain::Plan(const control::PoolReading& reading, absl::Time now) {
  next_plan_ = absl::InfiniteFuture();
  if (empty_since_.has_value() && now >= *empty_since_ + timing_.hold) wanted_ = WantedClaims{};
  if (!wanted_.has_value()) return {};
  ClaimPlan plan = PlanClaims(reading, *wanted_);
  if (plan.hold == Hold::kProbes) next_plan_ = now + timing_.look_for_probes;
  if (plan.hold == Hold::kGuard) next_plan_ = now + timing_.look_for_guard;
  const size_t held = plan.hold == Hold::kGuard ? plan.held : 0;
  if (held > 0 && held_ == 0) {
    held_since_ = now;
    hold_line_ = Line{.is_warning = true,
                      .text = fmt::format("ring domain {}: {} removals are held, because no other "
                                          "backend of the pool serves",
                                          Name(), held)};
  } else if (held == 0 && held_ > 0) {
    hold_line_ = Line{.text = fmt::format("ring domain {}: no removal is held any more", Name())};
  }
  held_ = held;
  return plan;
}

std::optional<RingDomain::Line> RingDomain::TakeHoldLine() {
  return std::exchange(hold_line_, std::nullopt);
}

std::optional<RingDomain::Line> RingDomain::OnApplied(const absl::Status& status, absl::Time now) {
  const bool was_refused = !refusal_.empty();
  refusal_ = std::string(status.message());
  if (status.ok()) {
    refused_since_.reset();
    return std::nullopt;
  }
  if (!refused_since_.has_value()) refused_since_ = now;
  if (was_refused) return std::nullopt;
  return Line{.is_warning = true,
              .text = fmt::format("ring domain {}: {}; its backends stay", Name(), refusal_)};
}

std::vector<control::Condition> RingDomain::GetConditions() const {
  std::vector<control::Condition> conditions;
  if (failing_since_.has_value()) {
    conditions.push_back({.code = "DNS_FAILING",
                          .detail = fmt::format("{}: {}", Name(), error_),
                          .since = *failing_since_});
  }
  if (refused_since_.has_value()) {
    conditions.push_back({.code = "DNS_FAILING",
                          .detail = fmt::format("{}: {}", Name(), refusal_),
                          .since = *refused_since_});
  }
  if (held_ > 0) {
    conditions.push_back(
        {.code = "MASS_REMOVAL_HELD",
         .detail = fmt::format("{}: {} removals are held, because no other backend of the pool "
                               "serves",
                               Name(), held_),
         .since = held_since_});
  }
  return conditions;
}

}  // namespace sidelb::providers
