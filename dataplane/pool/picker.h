// Picker: chooses a backend for a new session and takes a place of it; one class per mode.
//
// Thread safety: Pick() by any shard at any time; what shards share sits in PoolLoad.
// Ownership: belongs to its PoolSnapshot, refers to the snapshot's members and the PoolLoad.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "absl/types/span.h"
#include "dataplane/base/address.h"

namespace sidelb {

class Backend;
class PoolLoad;
struct Member;

enum class Mode : uint8_t {
  kRoundRobin,
  kLeastConnections,
  kP2c,
  kRandom,
  kSourceHash,
  kMaglev,
};

// What hash modes look at.
enum class HashKey : uint8_t {
  kSourceIp,      // all sessions of a client's address stay together
  kSourceIpPort,  // each of its ports is on its own
};

std::string_view ModeName(Mode mode);                  // "round-robin"
std::optional<Mode> ParseMode(std::string_view name);  // also "round_robin", "roundrobin"

// What a pick may depend on.
struct PickRequest {
  const Address* client = nullptr;        // for hash modes; may be nullptr for the others
  uint64_t random = 0;                    // for random modes
  absl::Span<Backend* const> tried = {};  // passed over; at most 8
};

enum class PickError : uint8_t { kNone, kNoBackend, kNoCapacity };

// `backend` has one place taken (BackendLoad::active), which the session gives back with
// Release(); nullptr with `error` set otherwise.
struct PickResult {
  Backend* backend = nullptr;
  PickError error = PickError::kNoBackend;
};

class Picker {
 public:
  virtual ~Picker() = default;
  virtual PickResult Pick(const PickRequest& request) const = 0;
};

// What modes take into account besides the members.
struct PickSettings {
  HashKey hash_key = HashKey::kSourceIp;  // hash modes
  uint32_t hash_table_size = 0;           // hash modes: slots, a prime; 0 = by the pool's size
  // Least-connections and p2c: the ports of one IP are one group, and groups are compared.
  bool group_by_ip = false;
};

// `eligible` are the members that may take new sessions, in the order of the snapshot; it and
// `load` must outlive the picker. `pool_size` counts all members.
std::unique_ptr<const Picker> MakePicker(Mode mode, const PickSettings& settings,
                                         absl::Span<const Member> eligible, size_t pool_size,
                                         PoolLoad* load);

}  // namespace sidelb
