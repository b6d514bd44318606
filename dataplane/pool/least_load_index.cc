#include "dataplane/pool/least_load_index.h"

#include <algorithm>
#include <array>

#include "dataplane/pool/backend.h"

namespace sidelb {
namespace {

constexpr uint32_t kArity = 4;
constexpr size_t kMaxTried = 8;

using Guard = SpinLock::Guard;

bool Contains(absl::Span<Backend* const> tried, const Backend* backend) {
  return std::find(tried.begin(), tried.end(), backend) != tried.end();
}

}  // namespace

bool LeastLoadIndex::Less(const Entry& a, const Entry& b) {
  const uint64_t left = uint64_t{a.active} * b.load->index_weight;
  const uint64_t right = uint64_t{b.active} * a.load->index_weight;
  if (left != right) return left < right;
  return a.load->last_pick < b.load->last_pick;
}

bool LeastLoadIndex::IsFull(const BackendLoad& load, uint32_t active) {
  return load.index_max_connections != 0 && active >= load.index_max_connections;
}

void LeastLoadIndex::Set(uint32_t position, const Entry& entry) {
  heap_[position] = entry;
  entry.load->index_position = position;
}

void LeastLoadIndex::SiftUp(uint32_t position) {
  const Entry entry = heap_[position];
  while (position > 0) {
    const uint32_t parent = (position - 1) / kArity;
    if (!Less(entry, heap_[parent])) break;
    Set(position, heap_[parent]);
    position = parent;
  }
  Set(position, entry);
}

void LeastLoadIndex::SiftDown(uint32_t position) {
  const Entry entry = heap_[position];
  const auto size = static_cast<uint32_t>(heap_.size());
  for (;;) {
    const uint32_t first = position * kArity + 1;
    if (first >= size) break;
    uint32_t least = first;
    for (uint32_t child = first + 1; child < std::min(first + kArity, size); ++child) {
      if (Less(heap_[child], heap_[least])) least = child;
    }
    if (!Less(heap_[least], entry)) break;
    Set(position, heap_[least]);
    position = least;
  }
  Set(position, entry);
}

void LeastLoadIndex::Push(BackendLoad* load, uint32_t active) {
  heap_.push_back({load, active});
  SiftUp(static_cast<uint32_t>(heap_.size() - 1));
}

void LeastLoadIndex::Erase(uint32_t position) {
  const Entry last = heap_.back();
  heap_.pop_back();
  if (position == heap_.size()) return;
  Set(position, last);
  SiftUp(position);
  SiftDown(last.load->index_position);
}

void LeastLoadIndex::Reposition(BackendLoad* load, uint32_t active) {
  const bool full = IsFull(*load, active);
  if (load->index_position == BackendLoad::kParked) {
    if (!full) Push(load, active);
    return;
  }
  if (full) {
    Erase(load->index_position);
    load->index_position = BackendLoad::kParked;
    return;
  }
  heap_[load->index_position].active = active;
  SiftUp(load->index_position);
  SiftDown(load->index_position);
}

void LeastLoadIndex::Put(BackendLoad* load, uint32_t weight, uint32_t max_connections) {
  Guard guard(lock_);
  load->index.store(this, std::memory_order_release);
  load->index_weight = weight;
  load->index_max_connections = max_connections;
  if (load->index_position == BackendLoad::kNotIndexed) {
    load->index_position = BackendLoad::kParked;
    load->index_member = static_cast<uint32_t>(members_.size());
    members_.push_back(load);
  }
  Reposition(load, load->active.load(std::memory_order_relaxed));
}

void LeastLoadIndex::Remove(BackendLoad* load) {
  Guard guard(lock_);
  if (load->index_position == BackendLoad::kNotIndexed) return;
  if (load->index_position != BackendLoad::kParked) Erase(load->index_position);
  load->index_position = BackendLoad::kNotIndexed;
  members_[load->index_member] = members_.back();
  members_[load->index_member]->index_member = load->index_member;
  members_.pop_back();
}

void LeastLoadIndex::Detach(BackendLoad* load) {
  Remove(load);
  load->index.store(nullptr, std::memory_order_release);
}

void LeastLoadIndex::Resync() {
  // One at a time, so that no shard waits for all of them. Only this thread changes members_.
  for (BackendLoad* load : members_) {
    Guard guard(lock_);
    Reposition(load, load->active.load(std::memory_order_relaxed));
  }
}

size_t LeastLoadIndex::size() const {
  Guard guard(lock_);
  return members_.size();
}

BackendLoad* LeastLoadIndex::Acquire(absl::Span<Backend* const> tried, bool* full) {
  Guard guard(lock_);
  *full = heap_.size() < members_.size();
  tried = tried.subspan(0, kMaxTried);
  // Best first: only members that were tried are passed over, so the frontier stays small.
  std::array<uint32_t, 1 + kMaxTried*(kArity - 1)> frontier;
  size_t count = heap_.empty() ? 0 : 1;
  frontier[0] = 0;
  while (count > 0) {
    auto least =
        std::min_element(frontier.begin(), frontier.begin() + count,
                         [this](uint32_t a, uint32_t b) { return Less(heap_[a], heap_[b]); });
    const uint32_t position = *least;
    BackendLoad* const load = heap_[position].load;
    if (!Contains(tried, load->backend)) {
      load->last_pick = ++picks_;
      Reposition(load, load->active.fetch_add(1, std::memory_order_relaxed) + 1);
      return load;
    }
    *least = frontier[--count];
    const uint32_t first = position * kArity + 1;
    const auto size = static_cast<uint32_t>(heap_.size());
    for (uint32_t child = first; child < std::min(first + kArity, size); ++child) {
      frontier[count++] = child;
    }
  }
  return nullptr;
}

bool LeastLoadIndex::AcquireOne(BackendLoad* load, uint32_t max_connections) {
  Guard guard(lock_);
  const uint32_t active = load->active.load(std::memory_order_relaxed);
  if (max_connections != 0 && active >= max_connections) return false;
  load->active.fetch_add(1, std::memory_order_relaxed);
  if (load->index_position != BackendLoad::kNotIndexed) {
    load->last_pick = ++picks_;
    Reposition(load, active + 1);
  }
  return true;
}

void LeastLoadIndex::ReleaseOne(BackendLoad* load) {
  Guard guard(lock_);
  if (load->index_position != BackendLoad::kNotIndexed) {
    Reposition(load, load->active.load(std::memory_order_relaxed) - 1);
  }
  // Last: from here on the control thread may destroy the backend.
  load->active.fetch_sub(1, std::memory_order_release);
}

}  // namespace sidelb
