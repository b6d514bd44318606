// Guard: refuses batches that would take most of a pool's serving backends away at once
// (decision 21), because such a batch is more often a mistake than a wish.
//
// What counts is where a pool stands after the batch: the backends that serve and stay, and the
// enabled ones that came. If that is under half of what there was, and three or more are lost, the
// batch is refused. Each owner's last 60 s count as one batch, so that many small removals are seen
// as what they are, and one who first adds and then removes is not stopped: of the backends that
// came within that time and of those that were there before, the larger part is what there was,
// though never more than there were at one time.
// What operators impose (overrides) is never counted.
//
// Pure: time is an argument. Thread safety: the control thread. Ownership: the ControlLoop.
#pragma once

#include <deque>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/time/time.h"
#include "server/control/batch.h"
#include "server/control/live_state.h"

namespace sidelb::control {

// What a batch does to the backends of one pool that take sessions. All lists are by address.
struct PoolLoss {
  std::string pool;
  std::vector<Address> lost;     // may take sessions before the batch, not after it
  std::vector<Address> guarded;  // of those: not by an override
  std::vector<Address> added;    // enabled after it, not before
  // Only where some are lost:
  std::vector<Address> eligible;  // may take sessions before the batch
  std::vector<Address> enabled;   // after it, whatever their health
  uint64_t connections = 0;       // on those that are lost
};

// Of every pool that loses or gains some.
std::vector<PoolLoss> ReadLosses(const DesiredState& before, const Change& change,
                                 const LiveState& live);
// Of every pool that loses some.
std::vector<PoolImpact> ToImpacts(const std::vector<PoolLoss>& losses);

class Guard {
 public:
  static constexpr absl::Duration kWindow = absl::Seconds(60);
  static constexpr size_t kMinLost = 3;

  // FAILED_PRECONDITION (MASS_REMOVAL{pool, would_remove, serving}) for what it refuses.
  absl::Status Check(const std::string& owner, const std::vector<PoolLoss>& losses,
                     absl::Time now) const;
  // The batch was accepted, by Check() or by consent. What was consented to counts no more.
  enum class Consent : uint8_t { kNone, kGiven };
  void Note(const std::string& owner, const std::vector<PoolLoss>& losses, Consent consent,
            absl::Time now);

 private:
  using Times = absl::flat_hash_map<Address, absl::Time>;
  // What an owner did to a pool in the last 60 s; entries that are older do not count.
  struct Window {
    Times added;     // enabled by it, and not lost since
    Times lost_old;  // that were there before it
    Times lost_new;  // that it had added within that time
    // How many there were when some were lost; later ones are smaller.
    std::deque<std::pair<absl::Time, size_t>> peaks;
  };

  static absl::Status CheckPool(const PoolLoss& loss, const Window& window, absl::Time now);

  std::map<std::pair<std::string, std::string>, Window> windows_;  // by owner and pool
  absl::Time pruned_ = absl::InfinitePast();
};

}  // namespace sidelb::control
