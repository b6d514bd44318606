#include "client/cli/numbers.h"

#include <array>
#include <cmath>

#include "fmt/format.h"

namespace sidelb::client {
namespace {

// One place after the point below ten, none above; rounded down, so that it never claims too much.
std::string Scaled(double value) {
  constexpr std::array kUnits = {"", "k", "M", "G", "T", "P", "E"};
  size_t unit = 0;
  while (value >= 1000 && unit + 1 < kUnits.size()) {
    value /= 1000;
    ++unit;
  }
  const double tenths = std::floor(value * 10) / 10;
  // Whole numbers below a thousand are exact.
  const bool has_point = tenths < 10 && (unit > 0 || tenths != std::floor(tenths));
  return fmt::format("{:.{}f}{}", has_point ? tenths : std::floor(value), has_point ? 1 : 0,
                     kUnits[unit]);
}

}  // namespace

std::string HumanCount(double count) { return Scaled(count); }

std::string HumanBytes(uint64_t bytes) { return Scaled(static_cast<double>(bytes)) + "B"; }

std::string HumanBitRate(double per_second) { return Scaled(per_second) + "bit/s"; }

std::string Plural(uint64_t count, std::string_view noun) {
  return fmt::format("{} {}{}", count, noun, count == 1 ? "" : "s");
}

}  // namespace sidelb::client
