// SharedMap: a sorted map that is cheap to copy and then to change a little: the entries stand in
// chunks that copies share until one of them writes there. A copy of 10 000 entries and one change
// cost some microseconds, where a map of its own would have every entry copied.
//
// Thread safety: as a std::map's for each copy, and copies of one origin together count as one:
// whether a chunk is shared is seen by its use_count(), so that who copies and who writes must be
// the same thread. Pointers to values hold until the map, or a copy that it came from, is written.
#pragma once

#include <algorithm>
#include <cstddef>
#include <iterator>
#include <memory>
#include <utility>
#include <vector>

namespace sidelb::control {

template <typename Key, typename T, size_t kMaxChunk = 128>
class SharedMap {
 public:
  using value_type = std::pair<Key, T>;

 private:
  using Chunk = std::vector<value_type>;  // sorted, never empty, at most kMaxChunk
  using Chunks = std::vector<std::shared_ptr<Chunk>>;

 public:
  class const_iterator {
   public:
    using iterator_category = std::forward_iterator_tag;
    using value_type = SharedMap::value_type;
    using difference_type = std::ptrdiff_t;
    using pointer = const value_type*;
    using reference = const value_type&;

    const_iterator() = default;
    reference operator*() const { return (**chunk_)[index_]; }
    pointer operator->() const { return &**this; }
    const_iterator& operator++() {
      if (++index_ == (*chunk_)->size()) {
        ++chunk_;
        index_ = 0;
      }
      return *this;
    }
    const_iterator operator++(int) {
      const_iterator before = *this;
      ++*this;
      return before;
    }
    friend bool operator==(const const_iterator&, const const_iterator&) = default;

   private:
    friend class SharedMap;
    const_iterator(typename Chunks::const_iterator chunk, size_t index)
        : chunk_(chunk), index_(index) {}
    typename Chunks::const_iterator chunk_;
    size_t index_ = 0;
  };
  using iterator = const_iterator;

  const_iterator begin() const { return {chunks_.begin(), 0}; }
  const_iterator end() const { return {chunks_.end(), 0}; }
  size_t size() const { return size_; }
  bool empty() const { return size_ == 0; }

  const_iterator find(const Key& key) const {
    const auto chunk = FindChunk(key);
    if (chunk == chunks_.end()) return end();
    const size_t index = FindIn(**chunk, key);
    return (**chunk)[index].first == key ? const_iterator(chunk, index) : end();
  }
  bool contains(const Key& key) const { return find(key) != end(); }

  // Adds the entry or replaces its value.
  void insert_or_assign(const Key& key, T value) {
    if (chunks_.empty()) chunks_.push_back(std::make_shared<Chunk>());
    // What is larger than all goes to the end of the last one.
    size_t at = static_cast<size_t>(FindChunk(key) - chunks_.begin());
    at = std::min(at, chunks_.size() - 1);
    Chunk& chunk = Own(at);
    const size_t index = FindIn(chunk, key);
    if (index < chunk.size() && chunk[index].first == key) {
      chunk[index].second = std::move(value);
      return;
    }
    chunk.emplace(chunk.begin() + static_cast<std::ptrdiff_t>(index), key, std::move(value));
    ++size_;
    if (chunk.size() > kMaxChunk) Split(at);
  }

  // How many were erased: 0 or 1.
  size_t erase(const Key& key) {
    const auto found = find(key);
    if (found == end()) return 0;
    const size_t at = static_cast<size_t>(found.chunk_ - chunks_.cbegin());
    --size_;
    if ((*found.chunk_)->size() == 1) {
      chunks_.erase(found.chunk_);
      return 1;
    }
    Chunk& chunk = Own(at);
    chunk.erase(chunk.begin() + static_cast<std::ptrdiff_t>(found.index_));
    Join(at);
    return 1;
  }

 private:
  // The first chunk whose last key is not less than `key`.
  typename Chunks::const_iterator FindChunk(const Key& key) const {
    return std::partition_point(chunks_.begin(), chunks_.end(), [&](const auto& chunk) {
      return !chunk->empty() && chunk->back().first < key;
    });
  }
  // The first entry of it that is not less than `key`.
  static size_t FindIn(const Chunk& chunk, const Key& key) {
    const auto found = std::partition_point(
        chunk.begin(), chunk.end(), [&](const value_type& entry) { return entry.first < key; });
    return static_cast<size_t>(found - chunk.begin());
  }
  // A chunk that no copy shares.
  Chunk& Own(size_t at) {
    std::shared_ptr<Chunk>& chunk = chunks_[at];
    if (chunk.use_count() > 1) chunk = std::make_shared<Chunk>(*chunk);
    return *chunk;
  }
  // Most keys come in order: the last chunk keeps all but the newest entry.
  void Split(size_t at) {
    Chunk& chunk = *chunks_[at];
    const bool is_last = at + 1 == chunks_.size();
    const auto middle =
        chunk.begin() + static_cast<std::ptrdiff_t>(is_last ? kMaxChunk : chunk.size() / 2);
    auto rest = std::make_shared<Chunk>(std::make_move_iterator(middle),
                                        std::make_move_iterator(chunk.end()));
    chunk.erase(middle, chunk.end());
    chunks_.insert(chunks_.begin() + static_cast<std::ptrdiff_t>(at) + 1, std::move(rest));
  }
  // Chunks that became small go into a neighbour, so that their number follows that of the entries.
  void Join(size_t at) {
    if (chunks_[at]->size() > kMaxChunk / 4 || chunks_.size() == 1) return;
    const size_t left = at == 0 ? 0 : at - 1;
    if (chunks_[left]->size() + chunks_[left + 1]->size() > kMaxChunk / 2) return;
    Chunk& into = Own(left);
    into.insert(into.end(), chunks_[left + 1]->begin(), chunks_[left + 1]->end());
    chunks_.erase(chunks_.begin() + static_cast<std::ptrdiff_t>(left) + 1);
  }

  Chunks chunks_;
  size_t size_ = 0;
};

}  // namespace sidelb::control
