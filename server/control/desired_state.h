// DesiredState: what should be: listeners, pools and claimed backends, under one revision.
//
// Copying it is cheap: pools are shared until they are written (MutablePool), their backends in
// chunks (shared_map.h), and objects are immutable and shared for ever. A batch works on a copy,
// which then replaces the state or is dropped.
//
// Pure. Thread safety: the control thread; the objects may be read anywhere.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "absl/container/btree_map.h"
#include "server/control/model.h"
#include "server/control/shared_map.h"

namespace sidelb::control {

// The override of a backend that lost its last claim, for when it comes back soon: a refresh that
// leaves an address out once, or a restart before DNS has answered, must not undo a drain.
struct AbsentOverride {
  Override override;
  absl::Time until;
  uint64_t revision = 0;  // when the backend went
  friend bool operator==(const AbsentOverride&, const AbsentOverride&) = default;
};

// One pool with its backends, those with at least one claim.
struct DesiredPool {
  std::shared_ptr<const PoolObject> object;
  SharedMap<Address, std::shared_ptr<const BackendObject>> backends;
  absl::btree_map<Address, AbsentOverride> absent;  // of no backend of `backends`
};

class DesiredState {
 public:
  using Listeners = std::map<std::string, std::shared_ptr<const ListenerObject>, std::less<>>;
  using Pools = std::map<std::string, std::shared_ptr<const DesiredPool>, std::less<>>;

  uint64_t revision = 0;
  uint64_t next_claim_order = 1;
  size_t backend_count = 0;
  Listeners listeners;
  Pools pools;

  // nullptr when there is none.
  const ListenerObject* FindListener(std::string_view name) const;
  const DesiredPool* FindPool(std::string_view name) const;
  const BackendObject* FindBackend(std::string_view pool, const Address& address) const;

  // A pool of this copy that may be written. REQUIRES: it exists. Valid until the copy is copied.
  DesiredPool& MutablePool(const std::string& name);
};

// What the claims and the override of a backend come to. REQUIRES: at least one claim; sorts them.
// Claims that a lapsed lease drains stand behind all others; with no other, the backend drains.
void Merge(BackendObject* backend);
// The order of precedence: api 0, xds 1, static 2, ring 3.
int OwnerRank(std::string_view owner);

// Defaults filled in.
Mode EffectiveMode(const PoolSpec& pool);
PickSettings EffectivePick(const PoolSpec& pool);
uint32_t EffectiveWeight(const BackendSpec& backend);
AdminState EffectiveAdminState(const BackendSpec& backend);
absl::Duration EffectiveMinTtl(const RingDomainSpec& domain);
absl::Duration EffectiveMaxTtl(const RingDomainSpec& domain);
RecordType EffectiveRecordType(const RingDomainSpec& domain);
// Of a removal: the op's, else the pool's, else 30 s.
DrainSpec EffectiveRemovalDrain(const std::optional<DrainSpec>& op, const PoolSpec& pool);

// Who claims the backends of a ring domain.
std::string RingOwner(const RingDomainSpec& domain);

// Whether `backend` matches all parts of `selector`.
bool Matches(const Selector& selector, const BackendObject& backend);
bool IsEmpty(const Selector& selector);

}  // namespace sidelb::control
