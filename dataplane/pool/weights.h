// Weights: a distribution over members: maps a number of [0, total) to an index, so that each index
// is hit by as many numbers as its weight says. Weights are divided by their greatest common
// divisor; equal weights need no search.
//
// Thread safety: immutable after construction.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "absl/types/span.h"

namespace sidelb {

struct Member;

class Weights {
 public:
  explicit Weights(absl::Span<const Member> members);

  uint64_t total() const { return total_; }
  bool are_equal() const { return sums_.empty(); }
  // REQUIRES: slot < total().
  size_t Find(uint64_t slot) const;
  // The index for 64 random bits; the bias is below 2^-31.
  size_t Sample(uint64_t random) const {
    return Find(static_cast<uint64_t>((static_cast<unsigned __int128>(random) * total_) >> 64));
  }

 private:
  std::vector<uint64_t> sums_;  // prefix sums; empty when all weights are equal
  uint64_t total_ = 0;
};

}  // namespace sidelb
