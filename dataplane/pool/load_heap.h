// LoadHeap: loads ordered by active/weight: a 4-ary indexed heap. Ties go to the one whose last
// pick is oldest. `Load` is BackendLoad or LoadGroup; its index_weight, last_pick and
// index_position are used, and the last one is kept.
//
// Pure. Thread safety: none; LeastLoadIndex locks. Ownership: refers to the loads.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace sidelb {

template <typename Load>
class LoadHeap {
 public:
  static constexpr size_t kMaxRefused = 8;  // by one First()

  bool is_empty() const { return entries_.empty(); }

  void Push(Load* load, uint64_t active) {
    entries_.push_back({load, active});
    SiftUp(static_cast<uint32_t>(entries_.size() - 1));
  }

  // REQUIRES: it is in the heap; its index_position means nothing afterwards.
  void Erase(Load* load) {
    const uint32_t position = load->index_position;
    const Entry last = entries_.back();
    entries_.pop_back();
    if (position == entries_.size()) return;
    Set(position, last);
    SiftUp(position);
    SiftDown(last.load->index_position);
  }

  // After a change of `active`, the weight or the last pick. REQUIRES: it is in the heap.
  void Update(Load* load, uint64_t active) {
    entries_[load->index_position].active = active;
    SiftUp(load->index_position);
    SiftDown(load->index_position);
  }

  // The least that `accepts`; nullptr when there is none. REQUIRES: it refuses at most kMaxRefused.
  template <typename Accepts>
  Load* First(Accepts accepts) const {
    // Best first: only what is refused is passed over, so the frontier stays small.
    std::array<uint32_t, 1 + kMaxRefused*(kArity - 1)> frontier;
    size_t count = entries_.empty() ? 0 : 1;
    frontier[0] = 0;
    while (count > 0) {
      auto least = std::min_element(
          frontier.begin(), frontier.begin() + count,
          [this](uint32_t a, uint32_t b) { return Less(entries_[a], entries_[b]); });
      const uint32_t position = *least;
      Load* const load = entries_[position].load;
      if (accepts(load)) return load;
      *least = frontier[--count];
      const uint32_t first = position * kArity + 1;
      const auto size = static_cast<uint32_t>(entries_.size());
      for (uint32_t child = first; child < std::min(first + kArity, size); ++child) {
        frontier[count++] = child;
      }
    }
    return nullptr;
  }

 private:
  static constexpr uint32_t kArity = 4;

  struct Entry {
    Load* load;
    uint64_t active;  // the key
  };

  static bool Less(const Entry& a, const Entry& b) {
    const uint64_t left = a.active * b.load->index_weight;
    const uint64_t right = b.active * a.load->index_weight;
    if (left != right) return left < right;
    return a.load->last_pick < b.load->last_pick;
  }

  void Set(uint32_t position, const Entry& entry) {
    entries_[position] = entry;
    entry.load->index_position = position;
  }

  void SiftUp(uint32_t position) {
    const Entry entry = entries_[position];
    while (position > 0) {
      const uint32_t parent = (position - 1) / kArity;
      if (!Less(entry, entries_[parent])) break;
      Set(position, entries_[parent]);
      position = parent;
    }
    Set(position, entry);
  }

  void SiftDown(uint32_t position) {
    const Entry entry = entries_[position];
    const auto size = static_cast<uint32_t>(entries_.size());
    for (;;) {
      const uint32_t first = position * kArity + 1;
      if (first >= size) break;
      uint32_t least = first;
      for (uint32_t child = first + 1; child < std::min(first + kArity, size); ++child) {
        if (Less(entries_[child], entries_[least])) least = child;
      }
      if (!Less(entries_[least], entry)) break;
      Set(position, entries_[least]);
      position = least;
    }
    Set(position, entry);
  }

  std::vector<Entry> entries_;
};

}  // namespace sidelb
