// TestPool: a pool for the tests of pickers: its backends, what the shards share of it, and the
// members of its next snapshot, which a test may change. One shard, no sockets.
#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <vector>

#include "dataplane/base/address.h"
#include "dataplane/pool/backend.h"
#include "dataplane/pool/pool_load.h"
#include "dataplane/pool/pool_snapshot.h"
#include "fmt/format.h"

namespace sidelb::testing {

// 10.a.b.c:80 with index = a*65536 + b*256 + c.
inline Address AddressOf(size_t index) {
  return *Address::Parse(
      fmt::format("10.{}.{}.{}:80", index >> 16 & 255, index >> 8 & 255, index & 255));
}

class TestPool {
 public:
  // One healthy, enabled backend for each weight.
  explicit TestPool(const std::vector<uint32_t>& weights) {
    for (uint32_t weight : weights) Add(weight);
  }

  Backend* Add(uint32_t weight, uint32_t max_connections = 0) {
    return AddAt(AddressOf(backends_.size()), weight, max_connections);
  }
  Backend* AddAt(const Address& address, uint32_t weight, uint32_t max_connections = 0) {
    backends_.push_back(std::make_unique<Backend>(address, 1));
    members.push_back({.address = address,
                       .weight = weight,
                       .backend = backends_.back().get(),
                       .max_connections = max_connections,
                       .health = Health::kHealthy});
    return backends_.back().get();
  }

  std::shared_ptr<const PoolSnapshot> Build(Mode mode, const PickSettings& settings = {}) {
    return PoolSnapshot::Build(1, mode, members, &load, 0, settings);
  }

  // The index of the backend in order of Add(); -1 for nullptr.
  int IndexOf(const Backend* backend) const {
    for (size_t i = 0; i < backends_.size(); ++i) {
      if (backends_[i].get() == backend) return static_cast<int>(i);
    }
    return -1;
  }
  Backend* operator[](size_t index) const { return backends_[index].get(); }
  size_t size() const { return backends_.size(); }

 private:
  std::vector<std::unique_ptr<Backend>> backends_;

 public:
  std::vector<Member> members;
  PoolLoad load{1};
};

}  // namespace sidelb::testing
