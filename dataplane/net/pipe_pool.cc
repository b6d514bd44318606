#include "dataplane/net/pipe_pool.h"

#include <fcntl.h>
#include <unistd.h>

#include <utility>

namespace sidelb {

bool PipeBudget::Take() {
  uint32_t free = free_.load(std::memory_order_relaxed);
  while (free > 0) {
    if (free_.compare_exchange_weak(free, free - 1, std::memory_order_relaxed)) return true;
  }
  return false;
}

PipePool::~PipePool() {
  for (size_t i = 0; i < idle_.size(); ++i) budget_.Give();
}

std::unique_ptr<Pipe> PipePool::Acquire() {
  if (!idle_.empty()) {
    std::unique_ptr<Pipe> pipe = std::move(idle_.back());
    idle_.pop_back();
    return pipe;
  }
  if (!budget_.Take()) return nullptr;
  int ends[2];
  if (pipe2(ends, O_NONBLOCK | O_CLOEXEC) != 0) {
    budget_.Give();
    return nullptr;
  }
  // Fewer calls for the same bytes. Where the user's pages for pipes are used up it stays small.
  fcntl(ends[1], F_SETPIPE_SZ, kPipeBytes);
  auto pipe = std::make_unique<Pipe>();
  pipe->read_end.Reset(ends[0]);
  pipe->write_end.Reset(ends[1]);
  return pipe;
}

void PipePool::Return(std::unique_ptr<Pipe> pipe) {
  if (pipe->fill_bytes == 0 && idle_.size() < kKept) {
    idle_.push_back(std::move(pipe));
  } else {
    pipe.reset();
    budget_.Give();
  }
}

}  // namespace sidelb
