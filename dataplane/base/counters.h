// Counter: a number that one thread raises and any thread may read.
//
// Thread safety: Add() by the one thread that owns it; value() by any. On x86 an Add() is a plain
// load, add and store: no lock prefix.
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

}  // namespace sidelb
