// What top shows, and the bytes between it and the terminal.
#include "client/cli/top_frame.h"

#include "client/cli/screen.h"
#include "gmock/gmock.h"
#include "tests/unit/client/cli_run.h"

namespace sidelb::client {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

TopSample Sample(int64_t seconds, const std::string& stats) {
  TopSample sample{Parsed<pb::GetStatsResponse>(stats), {}, absl::FromUnixSeconds(seconds)};
  sample.stats.mutable_time()->set_seconds(seconds);
  sample.info.set_revision(812);
  sample.info.set_applied_revision(812);
  sample.info.set_state(pb::SERVER_STATE_SERVING);
  sample.info.mutable_start_time()->set_seconds(1000);
  return sample;
}

class TopFrameTest : public testing::Test {
 protected:
  TopFrameTest() {
    view_.Apply(Parsed<pb::WatchResponse>(R"(epoch: "e" revision: 812 snapshot { last: true state {
      pools { name: "web" }
      backends { pool: "web" address: "10.0.0.5:80"
                 status { state: BACKEND_STATE_SERVING health: HEALTH_HEALTHY } }
      backends { pool: "web" address: "10.0.0.6:80"
                 status { state: BACKEND_STATE_UNHEALTHY health: HEALTH_UNHEALTHY } }
      backends { pool: "web" address: "10.0.0.7:80"
                 status { state: BACKEND_STATE_SERVING } } } })"));
  }

  std::vector<std::string> Render(const TopSettings& settings, const ScreenSize& size,
                                  std::string_view trouble = "") {
    return RenderTop({&before_, now_, view_, "", trouble}, settings, size, Colour::kNever).lines;
  }

  WatchView view_;
  TopSample before_ = Sample(4600, R"(
    rows { kind: OBJECT_KIND_POOL name: "web" active: 5 total: 1000 bytes_in: 0 bytes_out: 0 }
    rows { kind: OBJECT_KIND_BACKEND name: "web" address: "10.0.0.5:80" total: 400 }
    rows { kind: OBJECT_KIND_BACKEND name: "web" address: "10.0.0.6:80" total: 600 })");
  TopSample now_ = Sample(4602, R"(
    rows { kind: OBJECT_KIND_POOL name: "web" active: 6 total: 1300 bytes_in: 500000
           bytes_out: 25000000 connect_errors: 4 }
    rows { kind: OBJECT_KIND_BACKEND name: "web" address: "10.0.0.5:80" active: 5 total: 420
           bytes_in: 4000 }
    rows { kind: OBJECT_KIND_BACKEND name: "web" address: "10.0.0.6:80" active: 1 total: 880
           connect_errors: 4 })");
};

TEST_F(TopFrameTest, ShowsTotalsAndTheBusiestFirst) {
  EXPECT_THAT(
      Render({}, {20, 100}),
      ElementsAre(
          "sidelb  up 1h2s  revision 812 applied",
          "sessions 6  new 150/s  in 2.0Mbit/s  out 100Mbit/s  errors 2/s",
          "backends 2/3 serving  1 unhealthy", "",
          "   POOL  ADDRESS      STATE      SESSIONS  NEW/S*   IN/S  OUT/S  ERR/S  WEIGHT  P50  P99"
          "  TOTAL",
          "U  web   10.0.0.6:80  unhealthy         1     140     0B     0B      2     100    -    -"
          "    880",
          "H  web   10.0.0.5:80  serving           5      10  2.0kB     0B      0     100    -    -"
          "    420",
          "?  web   10.0.0.7:80  serving           0       0     0B     0B      0     100    -    -"
          "      0"));
}

TEST_F(TopFrameTest, SortsByTheChosenColumn) {
  const auto by = [this](TopSort sort, bool is_reversed) {
    std::string order;
    const auto lines = Render({sort, is_reversed}, {20, 100});
    for (size_t i = 5; i < lines.size(); ++i) order += lines[i][16];
    return order;
  };

  EXPECT_EQ(by(TopSort::kName, false), "567");
  EXPECT_EQ(by(TopSort::kName, true), "765");
  EXPECT_EQ(by(TopSort::kSessions, false), "567");
  EXPECT_EQ(by(TopSort::kSessions, true), "765");
  EXPECT_EQ(by(TopSort::kBytesIn, false), "567");
  EXPECT_EQ(by(TopSort::kState, false), "657");
  EXPECT_EQ(by(TopSort::kErrors, false), "657");
}

TEST_F(TopFrameTest, FitsTheScreen) {
  for (const size_t rows : {1u, 3u, 5u, 6u, 40u}) {
    for (const size_t columns : {1u, 10u, 40u, 79u}) {
      const auto lines = Render({}, {rows, columns}, "the connection was lost");
      EXPECT_LE(lines.size(), rows);
      for (const std::string& line : lines) EXPECT_LE(line.size(), columns) << line;
    }
  }
  // Columns go whole, from the right.
  EXPECT_EQ(Render({}, {20, 60})[4], "   POOL  ADDRESS      STATE      SESSIONS  NEW/S*   IN/S");
}

TEST_F(TopFrameTest, ScrollsAsFarAsThereIsMore) {
  const TopSettings end{.sort = TopSort::kName, .scroll = SIZE_MAX};

  const TopFrame frame = RenderTop({&before_, now_, view_, "", ""}, end, {7, 80}, Colour::kNever);

  EXPECT_EQ(frame.page_rows, 2u);
  EXPECT_EQ(frame.scroll, 1u);
  EXPECT_THAT(frame.lines[5], HasSubstr("10.0.0.6"));
  EXPECT_THAT(frame.lines[6], HasSubstr("10.0.0.7"));
}

TEST_F(TopFrameTest, HasNoRatesWithoutAnEarlierSample) {
  const TopFrame frame =
      RenderTop({nullptr, now_, view_, "web", ""}, {}, {20, 100}, Colour::kNever);

  EXPECT_EQ(frame.lines[0], "sidelb, pool web  up 1h2s  revision 812 applied");
  EXPECT_EQ(frame.lines[1], "sessions 6");
  EXPECT_THAT(frame.lines[5], HasSubstr("  -  "));
}

TEST_F(TopFrameTest, TakesCountersThatWentBackForUnknown) {
  std::swap(before_.stats.mutable_rows()->at(0), now_.stats.mutable_rows()->at(0));

  EXPECT_THAT(Render({}, {20, 100})[1], HasSubstr("new 0/s"));
}

TEST_F(TopFrameTest, TellsWhatIsNotAsItShouldBe) {
  now_.info.set_applied_revision(811);
  now_.info.set_state(pb::SERVER_STATE_DRAINING);

  const auto lines = Render({.is_paused = true}, {20, 100}, "the connection was lost\x1b[2J");

  EXPECT_EQ(lines[0], "sidelb  up 1h2s  revision 812, 811 applied  draining  paused");
  EXPECT_EQ(lines[3], "the connection was lost\\x1b[2J");
}

TEST(ScreenTest, DrawsFromTheTopAndErasesWhatWasThere) {
  EXPECT_EQ(FrameBytes({"ab", "c"}), "\x1b[Hab\x1b[K\r\nc\x1b[K\x1b[J");
}

TEST(ScreenTest, ReadsKeysAndLeavesOutTheRest) {
  EXPECT_THAT(ParseKeys("q"), ElementsAre(Key::kQuit));
  EXPECT_THAT(ParseKeys("sr x"), ElementsAre(Key::kSort, Key::kReverse, Key::kPause));
  EXPECT_THAT(ParseKeys("\x1b[A\x1b[6~\x1bOB"), ElementsAre(Key::kUp, Key::kPageDown, Key::kDown));
  // F5, Ctrl-arrow and a lone escape; none of their letters is a key.
  EXPECT_THAT(ParseKeys("\x1b[15~\x1b[1;5Cq"), ElementsAre(Key::kQuit));
  EXPECT_THAT(ParseKeys("\x1b"), testing::IsEmpty());
  EXPECT_THAT(ParseKeys("\x1b[1"), testing::IsEmpty());
}

}  // namespace
}  // namespace sidelb::client
