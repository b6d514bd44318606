// PoolSnapshot: one immutable revision of a pool, as the shards see it.
//
// Thread safety: immutable after Build(); any thread may read it. Only the control thread builds
// one. Ownership: shared. A shard returns a replaced snapshot with its acknowledgement; the control
// thread frees it. The PoolLoad and the backends named in it must outlive it on every shard.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "absl/types/span.h"
#include "dataplane/base/address.h"
#include "dataplane/pool/backend.h"
#include "dataplane/pool/eligibility.h"
#include "dataplane/pool/picker.h"
#include "dataplane/pool/pool_load.h"

namespace sidelb {

using PoolId = uint64_t;  // never reused while the process lives

// One backend in a snapshot: a plain record of one cache line, no strings.
struct alignas(64) Member {
  Address address;
  uint32_t weight = 0;  // effective
  Backend* backend = nullptr;
  uint32_t max_connections = 0;  // 0 = unlimited
  AdminState admin_state = AdminState::kEnabled;
  Health health = Health::kUnknown;
  bool is_ejected = false;
  uint8_t priority = 0;
};
static_assert(sizeof(Member) == 64);

class PoolSnapshot {
 public:
  // `members` are in the order in which round-robin visits them. REQUIRES: no backend twice.
  // With fewer than `panic_percent` of the enabled members healthy or unknown, unhealthy ones serve
  // as well (0 = never).
  static std::shared_ptr<const PoolSnapshot> Build(PoolId id, Mode mode,
                                                   std::vector<Member> members, PoolLoad* load,
                                                   uint32_t panic_percent = 0,
                                                   const PickSettings& settings = {});
  // Build() in two steps, for who must not wait: the second one may take tens of milliseconds
  // (large tables of maglev) and may run on another thread. REQUIRES: nobody picks before it.
  static std::shared_ptr<PoolSnapshot> Prepare(PoolId id, Mode mode, std::vector<Member> members,
                                               PoolLoad* load, uint32_t panic_percent = 0,
                                               const PickSettings& settings = {});
  void MakePicker();
  // Whether MakePicker() takes long.
  bool is_large() const;

  PoolSnapshot(const PoolSnapshot&) = delete;
  PoolSnapshot& operator=(const PoolSnapshot&) = delete;

  PoolId id() const { return id_; }
  Mode mode() const { return mode_; }
  const PickSettings& settings() const { return settings_; }
  PoolLoad* load() const { return load_; }
  absl::Span<const Member> members() const { return members_; }
  // Those that may take a new session, by eligibility.h.
  absl::Span<const Member> eligible() const { return eligible_; }
  // The worst tier that serves, and the priority that does.
  uint8_t serving_tier() const { return serving_tier_; }
  uint8_t serving_priority() const { return serving_priority_; }
  bool is_in_panic() const { return serving_tier_ == 2; }
  // Whether a member that looks like this would be one of eligible().
  bool IsEligible(const Member& member) const;

  PickResult Pick(const PickRequest& request) const { return picker_->Pick(request); }

 private:
  PoolSnapshot() = default;
  void ChooseServing(absl::Span<const uint8_t> tiers, uint32_t panic_percent);
  bool Serves(uint8_t tier, uint8_t priority) const;

  PoolId id_ = 0;
  Mode mode_ = Mode::kRoundRobin;
  PickSettings settings_;
  PoolLoad* load_ = nullptr;
  uint8_t serving_tier_ = 0;
  uint8_t serving_priority_ = 0;
  std::vector<Member> members_;
  // A view of members_ when all are eligible, else of eligible_copy_.
  absl::Span<const Member> eligible_;
  std::vector<Member> eligible_copy_;
  std::unique_ptr<const Picker> picker_;
};

}  // namespace sidelb
