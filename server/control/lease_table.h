// LeaseTable: which owners have promised to renew, by which holder, and what is due when one does
// not.
//
// A lease lapses when its holder has not renewed it for `ttl`, and after `grace` more its
// on_expiry is due. Its age grows with the calls of Advance(), by 200 ms at most each: what the
// daemon did not live through (it was stopped, or the machine slept) is held against nobody.
// When leases of two owners lapse within the ttl of one of them, the fault is more likely on this
// side: the table freezes, and nothing is due until one of them is renewed or released. Then those
// that are still lapsed get their grace anew.
//
// Pure: time is an argument. Thread safety: the control thread. Ownership: the ControlLoop.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "server/control/model.h"

namespace sidelb::control {

class LeaseTable {
 public:
  static constexpr absl::Duration kMaxStep = absl::Milliseconds(200);
  static constexpr absl::Duration kTick = absl::Milliseconds(100);
  static constexpr absl::Duration kMinTtl = absl::Seconds(5);
  static constexpr absl::Duration kMaxTtl = absl::Hours(24);

  // `min_ttl`: shorter in tests, so that they need not wait.
  explicit LeaseTable(absl::Duration min_ttl = kMinTtl) : min_ttl_(min_ttl) {}

  // What a renewal or release came to.
  struct Renewal {
    std::optional<Lease> before;
    Lease after;  // as it was, where it was released
    bool is_released = false;
    bool takes_back = false;  // on_expiry was done, and the claims may serve again
    bool is_thawed = false;   // it ended the freeze

    // Whether more than the time has changed.
    bool is_news() const;
  };

  // Creates, renews, takes over or releases. ABORTED (SESSION_SUPERSEDED) when another holder has
  // the lease and `take_over` is not set; INVALID_ARGUMENT (TTL_RANGE, BAD_FIELD). Releasing what
  // is not there is no error.
  absl::StatusOr<Renewal> Renew(const RenewLeaseRequest& request, absl::Time now);

  // Whether `holder` may act for `owner`: ABORTED (SESSION_SUPERSEDED) unless it has the lease.
  absl::Status CheckHolder(const std::string& owner, const std::string& holder) const;
  // The same as a renewal with the terms that it has. REQUIRES: CheckHolder() is OK.
  Renewal Touch(const std::string& owner, absl::Time now);

  // Leases that were kept over a restart: each begins anew, whatever its age was.
  void Restore(const std::vector<Lease>& leases, absl::Time now);

  struct Due {
    std::vector<Lease> lapsed;                                  // since the last call
    std::vector<std::pair<std::string, ExpiryAction>> actions;  // by owner
    bool has_frozen = false;                                    // the freeze began
  };
  // To be called every kTick while needs_ticks().
  Due Advance(absl::Time now);
  bool needs_ticks() const;

  bool is_frozen() const { return frozen_since_.has_value(); }
  // By owner; without the count of claims.
  std::vector<Lease> List() const;
  // LEASE_EXPIRED for each that is lapsed, LEASES_FROZEN.
  std::vector<Condition> GetConditions() const;

 private:
  struct Entry {
    std::string holder;
    absl::Duration ttl;
    std::optional<absl::Duration> grace;  // absent = ttl
    ExpiryAction on_expiry = ExpiryAction::kDrain;
    absl::Duration age;       // since it was renewed
    absl::Time renewed_time;  // or lapsed
    bool is_expired = false;
    bool is_done = false;  // on_expiry
    // On clock_, for as long as it counts for a freeze.
    std::optional<absl::Duration> lapsed_at;

    absl::Duration effective_grace() const { return grace.value_or(ttl); }
  };
  using Entries = std::map<std::string, Entry>;

  absl::Status CheckTerms(const RenewLeaseRequest& request, bool is_new) const;
  absl::Duration AddAge(absl::Time now);
  bool LapsedTogether(const std::string& owner, const Entry& entry) const;
  // Of a renewal or release of a lapsed one: ends a freeze.
  bool Thaw();
  static Lease ToLease(const std::string& owner, const Entry& entry);

  const absl::Duration min_ttl_;
  Entries entries_;       // by owner
  absl::Duration clock_;  // grows with the ages
  absl::Time last_ = absl::InfinitePast();
  std::optional<absl::Time> frozen_since_;
};

}  // namespace sidelb::control
