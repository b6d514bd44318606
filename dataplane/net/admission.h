// Admission: how many sessions the process has and may have. At the cap the shards stop accepting
// and the kernel queues.
//
// Thread safety: any thread. Ownership: one per data plane, outlives its shards.
#pragma once

#include <atomic>
#include <cstdint>

namespace sidelb {

class Admission {
 public:
  explicit Admission(uint64_t max_sessions) : max_(max_sessions) {}

  // Takes a place for a session; false at the cap.
  bool TryEnter() {
    if (active_.fetch_add(1, std::memory_order_relaxed) < max_) return true;
    active_.fetch_sub(1, std::memory_order_relaxed);
    return false;
  }
  void Leave() { active_.fetch_sub(1, std::memory_order_release); }

  uint64_t active() const { return active_.load(std::memory_order_acquire); }
  uint64_t max() const { return max_; }

 private:
  const uint64_t max_;
  alignas(64) std::atomic<uint64_t> active_{0};
};

}  // namespace sidelb
