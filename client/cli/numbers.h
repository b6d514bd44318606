// Counters for people: at most three digits and a unit, no space inside.
//
// Thread safety: pure functions.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace sidelb::client {

std::string HumanCount(double count);    // "0", "950", "1.2k", "34k", "5.6M"
std::string HumanBytes(uint64_t bytes);  // "950B", "1.2kB", "3.4MB", powers of 1000
std::string Plural(uint64_t count, std::string_view noun);  // "1 backend", "2 backends"
std::string HumanBitRate(double per_second);                // "0", "950bit/s" to "3.4Gbit/s"

}  // namespace sidelb::client
