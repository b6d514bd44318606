// MaglevPicker: the backend follows from the client's address, or its address and port, and stays
// the same for nearly all clients when backends come and go. Serves the modes maglev and
// source-hash.
//
// A table of a prime number of slots is filled by the backends in turns; each backend walks the
// slots in an order of its own, drawn from its address. A backend has as many slots as its weight
// says, within one, and at least one (where that lifts shares below one, the others pay for it).
// When one of n leaves, at most 1/n + 1.5 % of the clients move. The number of slots follows from
// the size of the pool, whatever the health of its backends is, because another number of slots
// moves nearly every client; that is left to changes of the configuration that cross a size.
// See Eisenbud et al., "Maglev: A Fast and Reliable Software Network Load Balancer", NSDI
// 2016, 3.4.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "absl/types/span.h"
#include "dataplane/pool/picker.h"

namespace sidelb {

inline constexpr uint32_t kMinMaglevTable = 251;
inline constexpr uint32_t kMaxMaglevTable = 655'373;

// The number of slots for a pool of `backends`: `wanted` while that is at least 100 slots a
// backend; else, and with 0, 65 537, for larger pools the smallest listed prime of at least 100
// slots a backend, at most 655 373.
uint32_t MaglevTableSize(size_t backends, uint32_t wanted = 0);

class MaglevPicker final : public Picker {
 public:
  // `wanted_size` is for MaglevTableSize().
  MaglevPicker(absl::Span<const Member> eligible, size_t pool_size,
               HashKey key = HashKey::kSourceIp, uint32_t wanted_size = 0);
  // Of a pool of which all members are eligible.
  explicit MaglevPicker(absl::Span<const Member> eligible)
      : MaglevPicker(eligible, eligible.size()) {}
  PickResult Pick(const PickRequest& request) const override;

  // The index of the eligible member for each slot.
  absl::Span<const uint32_t> table() const { return table_; }
  // What makes the slot of a client.
  static uint64_t HashClient(const Address& client, HashKey key);

 private:
  absl::Span<const Member> eligible_;
  HashKey key_;
  std::vector<uint32_t> table_;
};

}  // namespace sidelb
