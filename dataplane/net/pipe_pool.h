// PipePool: the pipes through which splice(2) moves bulk data, reused by the sessions of a shard.
//
// The process has min(256, 2 % of RLIMIT_NOFILE) pipes (PipeBudget); when none is free a relay
// copies instead. A pipe goes back only when it is empty: residue would hand one customer's bytes
// to another; any other pipe is closed.
//
// Thread safety: PipeBudget by any thread; PipePool by its shard. Ownership: a Pipe belongs to
// whoever acquired it until Return().
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "dataplane/base/unique_fd.h"

namespace sidelb {

struct Pipe {
  UniqueFd read_end;
  UniqueFd write_end;
  size_t fill_bytes = 0;
};

// How many pipes the process may still open.
class PipeBudget {
 public:
  explicit PipeBudget(uint32_t pipes) : free_(pipes) {}
  bool Take();
  void Give() { free_.fetch_add(1, std::memory_order_relaxed); }

 private:
  std::atomic<uint32_t> free_;
};

class PipePool {
 public:
  explicit PipePool(PipeBudget& budget) : budget_(budget) {}
  ~PipePool();
  PipePool(const PipePool&) = delete;
  PipePool& operator=(const PipePool&) = delete;

  // nullptr when the budget or the descriptors are exhausted.
  std::unique_ptr<Pipe> Acquire();
  void Return(std::unique_ptr<Pipe> pipe);

 private:
  static constexpr int kPipeBytes = 256 * 1024;  // what one turn of a relay may move
  static constexpr size_t kKept = 32;            // idle pipes that a shard keeps open

  PipeBudget& budget_;
  std::vector<std::unique_ptr<Pipe>> idle_;
};

}  // namespace sidelb
