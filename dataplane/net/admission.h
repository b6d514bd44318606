// Admission: how many sessions of a transport the process has and may have. At the cap the shards
// stop accepting and the kernel queues. The transports share one budget of descriptors, so that
// together they leave some for listeners, pipes, probes and the control plane.
//
// Thread safety: any thread. Ownership: one per data plane and transport, outlives its shards.
#pragma once

#include <atomic>
#include <cstdint>

namespace sidelb {

class DescriptorBudget {
 public:
  explicit DescriptorBudget(uint64_t most) : most_(most) {}

  bool Take(uint32_t count) {
    if (used_.fetch_add(count, std::memory_order_relaxed) + count <= most_) return true;
    Give(count);
    return false;
  }
  void Give(uint32_t count) { used_.fetch_sub(count, std::memory_order_relaxed); }

 private:
  const uint64_t most_;
  alignas(64) std::atomic<uint64_t> used_{0};
};

class Admission {
 public:
  // A session takes `descriptors` of `budget`, which must outlive it.
  Admission(uint64_t max_sessions, DescriptorBudget* budget, uint32_t descriptors)
      : max_(max_sessions), budget_(budget), descriptors_(descriptors) {}

  // Takes a place for a session; false at the cap.
  bool TryEnter() {
    if (active_.fetch_add(1, std::memory_order_relaxed) < max_ && budget_->Take(descriptors_)) {
      return true;
    }
    active_.fetch_sub(1, std::memory_order_relaxed);
    return false;
  }
  void Leave() {
    budget_->Give(descriptors_);
    active_.fetch_sub(1, std::memory_order_release);
  }

  uint64_t active() const { return active_.load(std::memory_order_acquire); }
  uint64_t max() const { return max_; }

 private:
  const uint64_t max_;
  DescriptorBudget* const budget_;
  const uint32_t descriptors_;
  alignas(64) std::atomic<uint64_t> active_{0};
};

}  // namespace sidelb
