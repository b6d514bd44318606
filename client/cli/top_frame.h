// What `top` shows, as lines of text: a pure function of two samples, a view and the terminal.
//
// Thread safety: pure functions.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "absl/time/time.h"
#include "client/cli/table.h"
#include "client/watch_view.h"
#include "sidelb/v1/control.pb.h"

namespace sidelb::client {

struct TopSample {
  pb::GetStatsResponse stats;
  pb::GetInfoResponse info;
  absl::Time time;
};

// Each but the last sorts from large to small unless it is reversed.
enum class TopSort { kNewSessions, kSessions, kBytesIn, kBytesOut, kErrors, kState, kName };
inline constexpr int kTopSorts = 7;

struct TopSettings {
  TopSort sort = TopSort::kNewSessions;
  bool is_reversed = false;
  bool is_paused = false;
  size_t scroll = 0;  // backends above the first that is shown
};

struct ScreenSize {
  size_t rows = 0;  // 0 = as many as there are
  size_t columns = 80;
};

struct TopInput {
  const TopSample* before = nullptr;  // without it there are no rates
  const TopSample& now;
  const WatchView& view;
  std::string_view pool;     // what the view is limited to, for the title
  std::string_view trouble;  // with the connection
};

struct TopFrame {
  // No more than the screen has rows, none wider than it.
  std::vector<std::string> lines;
  size_t scroll = 0;     // as it was possible
  size_t page_rows = 0;  // backends that fit
};

TopFrame RenderTop(const TopInput& input, const TopSettings& settings, const ScreenSize& size,
                   Colour colour);

}  // namespace sidelb::client
