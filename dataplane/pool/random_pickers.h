// Pickers that draw: RandomPicker takes a backend with the probability of its weight; P2cPicker
// draws two of them and takes the one with the lower active/weight (power of two choices; see
// Mitzenmacher, "The Power of Two Choices in Randomized Load Balancing", 2001).
#pragma once

#include "absl/types/span.h"
#include "dataplane/pool/picker.h"
#include "dataplane/pool/weights.h"

namespace sidelb {

class RandomPicker final : public Picker {
 public:
  explicit RandomPicker(absl::Span<const Member> eligible)
      : eligible_(eligible), weights_(eligible) {}
  PickResult Pick(const PickRequest& request) const override;

 private:
  absl::Span<const Member> eligible_;
  Weights weights_;
};

class P2cPicker final : public Picker {
 public:
  explicit P2cPicker(absl::Span<const Member> eligible) : eligible_(eligible), weights_(eligible) {}
  PickResult Pick(const PickRequest& request) const override;

 private:
  absl::Span<const Member> eligible_;
  Weights weights_;
};

}  // namespace sidelb
