// NextRandom: 64 random bits from a state that it moves on (SplitMix64; Steele et al., "Fast
// Splittable Pseudorandom Number Generators", 2014). Good enough to spread picks, not a secret.
#pragma once

#include <cstdint>

namespace sidelb {

inline uint64_t NextRandom(uint64_t* state) {
  uint64_t z = (*state += 0x9e3779b97f4a7c15u);
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
  return z ^ (z >> 31);
}

}  // namespace sidelb
