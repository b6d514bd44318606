// Counter: a number that one thread raises and any thread may read. Gauge: one that also falls.
// Peak: the highest that its thread has seen since the last reset.
//
// Thread safety: Add(), Sub() and Raise() by the one thread that owns it; value() by any. On x86
// each is a plain load and store: no lock prefix. Reset() by any thread: a Raise() at the same
// instant may be lost.
#pragma once

#include <atomic>
#include <cstdint>

namespace sidelb {

class Counter {
 public:
  void Add(uint64_t n) {
    value_.store(value_.load(std::memory_order_relaxed) + n, std::memory_order_relaxed);
  }
  uint64_t value() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<uint64_t> value_{0};
};

class Gauge {
 public:
  void Add(uint64_t n) { value_.store(value() + n, std::memory_order_relaxed); }
  void Sub(uint64_t n) { value_.store(value() - n, std::memory_order_relaxed); }
  uint64_t value() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<uint64_t> value_{0};
};

class Peak {
 public:
  void Raise(uint64_t n) {
    if (n > value()) value_.store(n, std::memory_order_relaxed);
  }
  void Reset(uint64_t n) { value_.store(n, std::memory_order_relaxed); }
  uint64_t value() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<uint64_t> value_{0};
};

}  // namespace sidelb
