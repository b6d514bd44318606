// From a desired pool and what is observed of its backends to the snapshot that shards use.
//
// Pure. Thread safety: the control thread.
#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/types/span.h"
#include "dataplane/pool/pool_snapshot.h"
#include "server/control/desired_state.h"

namespace sidelb::control {

// What is observed of one backend.
struct Observed {
  Backend* backend = nullptr;
  Health health = Health::kUnknown;
  bool is_ejected = false;
  uint32_t weight = 0;
};

// What the shards see of one backend.
Member MemberOf(const BackendObject& backend, const Observed& observed);

// The members of a pool in the order of their first claims, so that round-robin visits backends in
// the order in which they were added; and that order, by which a member is found.
struct OrderedMembers {
  std::vector<Member> members;
  std::vector<uint64_t> orders;  // ascending, one for each member

  // Where the member of this order stands, or would stand.
  size_t Find(uint64_t order) const;
  void Insert(size_t index, uint64_t order, const Member& member);
  void Erase(size_t index);
};

// `observe` is asked in the order of the addresses.
OrderedMembers OrderMembers(const DesiredPool& pool,
                            absl::FunctionRef<Observed(const BackendObject&)> observe);

// Makes the members before, `ordered`, those that OrderMembers() would return, when nothing but the
// backends at `dirty` differs; an address may be named twice and need not stand for anything.
// `order_of` is by which order `ordered` has a backend, remembered for the next time; nullptr when
// none exists. False, with `ordered` spoilt, when these are not the orders of `ordered`.
bool MendMembers(const DesiredPool& pool, absl::Span<const Address> dirty,
                 absl::FunctionRef<std::optional<uint64_t>*(const Address&)> order_of,
                 absl::FunctionRef<Observed(const BackendObject&)> observe,
                 OrderedMembers* ordered);

// Without its picker.
std::shared_ptr<PoolSnapshot> PrepareSnapshot(PoolId id, const PoolSpec& pool, PoolLoad* load,
                                              std::vector<Member> members);

}  // namespace sidelb::control
