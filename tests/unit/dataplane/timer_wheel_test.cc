#include "dataplane/net/timer_wheel.h"

#include <gtest/gtest.h>

#include <functional>
#include <map>
#include <memory>
#include <random>
#include <vector>

namespace sidelb {
namespace {

constexpr uint64_t kTick = TimerWheel::kTickMs;
// How much time the four levels span together.
constexpr uint64_t kWheelMs = (uint64_t{1} << 24) * kTick;

struct Timer : TimerTarget {
  void OnTimer() override {
    ++fired;
    if (on_timer) on_timer();
  }
  int fired = 0;
  std::function<void()> on_timer;
};

// Lets time pass as a shard does, which only wakes when the wheel asks; returns when `timer` fired.
uint64_t WhenFired(TimerWheel& wheel, const Timer& timer, uint64_t until_ms) {
  while (timer.fired == 0) {
    const std::optional<uint64_t> wake = wheel.NextWakeMs();
    if (!wake.has_value() || *wake > until_ms) return UINT64_MAX;
    wheel.Advance(*wake);
    if (timer.fired > 0) return *wake;
  }
  return UINT64_MAX;
}

TEST(TimerWheelTest, FiresAtItsDeadlineRoundedUpToATick) {
  for (uint64_t delay : {1u, 19u, 20u, 21u, 999u, 1'280u, 81'920u, 5'242'881u, 335'544'321u}) {
    TimerWheel wheel(1'000);
    Timer timer;
    wheel.Schedule(&timer, 1'000 + delay);
    const uint64_t fired = WhenFired(wheel, timer, UINT64_MAX);
    EXPECT_GE(fired, 1'000 + delay) << delay;
    EXPECT_LT(fired, 1'000 + delay + kTick) << delay;
    EXPECT_FALSE(timer.is_scheduled());
    EXPECT_EQ(wheel.NextWakeMs(), std::nullopt);
  }
}

TEST(TimerWheelTest, DoesNotFireAMillisecondEarly) {
  TimerWheel wheel(0);
  Timer timer;
  wheel.Schedule(&timer, 100);
  wheel.Advance(99);
  EXPECT_EQ(timer.fired, 0);
  wheel.Advance(100);
  EXPECT_EQ(timer.fired, 1);
}

TEST(TimerWheelTest, FiresOnceEvenIfTimePassesOn) {
  TimerWheel wheel(0);
  Timer timer;
  wheel.Schedule(&timer, 40);
  wheel.Advance(1'000'000);
  wheel.Advance(2'000'000);
  EXPECT_EQ(timer.fired, 1);
}

TEST(TimerWheelTest, ADeadlineInThePastFiresAtTheNextTick) {
  TimerWheel wheel(10'000);
  Timer timer;
  wheel.Schedule(&timer, 5);
  EXPECT_EQ(wheel.NextWakeMs(), 10'020u);
  wheel.Advance(10'020);
  EXPECT_EQ(timer.fired, 1);
}

TEST(TimerWheelTest, SchedulingAgainReplacesTheDeadline) {
  TimerWheel wheel(0);
  Timer timer;
  wheel.Schedule(&timer, 100);
  wheel.Schedule(&timer, 5'000);
  wheel.Advance(4'999);
  EXPECT_EQ(timer.fired, 0);
  wheel.Schedule(&timer, 5'020);
  wheel.Advance(6'000);
  EXPECT_EQ(timer.fired, 1);
}

TEST(TimerWheelTest, ACancelledTimerDoesNotFire) {
  TimerWheel wheel(0);
  Timer timer;
  wheel.Schedule(&timer, 100);
  wheel.Cancel(&timer);
  EXPECT_FALSE(timer.is_scheduled());
  EXPECT_EQ(wheel.NextWakeMs(), std::nullopt);
  wheel.Advance(1'000);
  EXPECT_EQ(timer.fired, 0);
}

TEST(TimerWheelTest, ATargetThatDiesIsForgotten) {
  TimerWheel wheel(0);
  auto timer = std::make_unique<Timer>();
  wheel.Schedule(timer.get(), 100);
  timer.reset();
  EXPECT_EQ(wheel.NextWakeMs(), std::nullopt);
  wheel.Advance(1'000);
}

TEST(TimerWheelTest, ATimerMayCancelAndDeleteOthersOfItsTick) {
  TimerWheel wheel(0);
  Timer first, cancelled;
  auto deleted = std::make_unique<Timer>();
  first.on_timer = [&] {
    wheel.Cancel(&cancelled);
    deleted.reset();
  };
  wheel.Schedule(&first, 100);
  wheel.Schedule(&cancelled, 100);
  wheel.Schedule(deleted.get(), 100);
  wheel.Advance(200);
  EXPECT_EQ(first.fired, 1);
  EXPECT_EQ(cancelled.fired, 0);
}

TEST(TimerWheelTest, ATimerThatSchedulesItselfTakesEachOfItsTurnsInOneAdvance) {
  TimerWheel wheel(0);
  Timer timer;
  uint64_t deadline = 100;
  timer.on_timer = [&] { wheel.Schedule(&timer, deadline += 100); };
  wheel.Schedule(&timer, deadline);
  wheel.Advance(1'000);
  EXPECT_EQ(timer.fired, 10);
}

// The machine's clock passes this every 93 hours of its life.
TEST(TimerWheelTest, ShortTimersAreNotLateWhereAllLevelsTurnOver) {
  for (uint64_t turn : {1u, 2u, 7u}) {
    for (uint64_t before : {kTick, 200 * kTick, 10'000 * kTick, 3'600'000ul}) {
      const uint64_t now = turn * kWheelMs - before;
      for (uint64_t delay : {before, before + 3'000, before + 3'600'000}) {
        TimerWheel wheel(now);
        Timer timer;
        wheel.Schedule(&timer, now + delay);
        const uint64_t fired = WhenFired(wheel, timer, UINT64_MAX);
        EXPECT_GE(fired, now + delay);
        EXPECT_LT(fired, now + delay + kTick) << "turn " << turn << " before " << before;
      }
    }
  }
}

TEST(TimerWheelTest, DeadlinesBeyondTheWheelAreKept) {
  for (uint64_t start : {uint64_t{0}, uint64_t{123'456'789}, kWheelMs - kTick}) {
    for (uint64_t delay :
         {kWheelMs - kTick, kWheelMs, kWheelMs + 1, 3 * kWheelMs + 77, 1'000 * kWheelMs}) {
      TimerWheel wheel(start);
      Timer timer;
      wheel.Schedule(&timer, start + delay);
      const uint64_t fired = WhenFired(wheel, timer, UINT64_MAX);
      EXPECT_GE(fired, start + delay);
      EXPECT_LT(fired, start + delay + kTick);
    }
  }
}

TEST(TimerWheelTest, AnEndlessDeadlineDoesNotWrapAround) {
  TimerWheel wheel(1'000);
  Timer timer;
  wheel.Schedule(&timer, UINT64_MAX);
  wheel.Advance(100 * kWheelMs);
  EXPECT_EQ(timer.fired, 0);
  EXPECT_TRUE(timer.is_scheduled());
}

TEST(TimerWheelTest, TellsTheEarliestNewDeadlineOnce) {
  TimerWheel wheel(0);
  Timer a, b, c;
  EXPECT_EQ(wheel.TakeEarliestNewMs(), UINT64_MAX);
  wheel.Schedule(&a, 5'000);
  wheel.Schedule(&b, 995);
  wheel.Schedule(&c, 2'000);
  EXPECT_EQ(wheel.TakeEarliestNewMs(), 1'000u);
  EXPECT_EQ(wheel.TakeEarliestNewMs(), UINT64_MAX);
}

// The wheel against a plain map from timer to deadline, with random operations.
class WheelModel {
 public:
  WheelModel(uint32_t seed, uint64_t start_ms)
      : random_(seed), now_ms_(start_ms), wheel_(start_ms), timers_(100) {
    for (Timer& timer : timers_) timer.on_timer = [this, &timer] { OnTimer(&timer); };
  }

  void Step() {
    switch (Draw(10)) {
      case 0:
        Cancel(Any());
        break;
      case 1:
      case 2:
      case 3:
      case 4:
        Schedule(Any());
        break;
      case 5:
        AdvanceTo(now_ms_ + Draw(3));
        break;
      case 6:
        AdvanceTo(now_ms_ + Delay());
        break;
      default:
        if (const std::optional<uint64_t> wake = wheel_.NextWakeMs()) AdvanceTo(*wake);
        break;
    }
    CheckWake();
  }

  int fired() const { return fired_; }

 private:
  uint64_t Draw(uint64_t below) { return random_() % below; }
  Timer* Any() { return &timers_[Draw(timers_.size())]; }
  // Of all sizes, from under a tick to beyond the wheel.
  uint64_t Delay() { return 1 + (random_() >> (64 - 1 - Draw(36))); }

  void Schedule(Timer* timer) {
    const uint64_t deadline = now_ms_ + kTick + Delay();
    wheel_.Schedule(timer, deadline);
    deadlines_[timer] = deadline;
  }
  void Cancel(Timer* timer) {
    wheel_.Cancel(timer);
    deadlines_.erase(timer);
  }

  void AdvanceTo(uint64_t now_ms) {
    now_ms_ = now_ms;
    wheel_.Advance(now_ms);
    for (const auto& [timer, deadline] : deadlines_) {
      ASSERT_GT(deadline + kTick, now_ms) << "late by " << now_ms - deadline << " ms";
      ASSERT_TRUE(timer->is_scheduled());
    }
  }

  void OnTimer(Timer* timer) {
    ++fired_;
    const auto found = deadlines_.find(timer);
    ASSERT_NE(found, deadlines_.end()) << "fired, though not scheduled";
    ASSERT_LE(found->second, now_ms_) << "early";
    deadlines_.erase(found);
    ASSERT_FALSE(timer->is_scheduled());
    if (Draw(4) == 0) Cancel(Any());
    if (Draw(4) == 0) Schedule(Any());
  }

  // A shard sleeps until this, so it must not be after the first deadline's tick.
  void CheckWake() {
    const std::optional<uint64_t> wake = wheel_.NextWakeMs();
    ASSERT_EQ(wake.has_value(), !deadlines_.empty());
    if (!wake.has_value()) return;
    ASSERT_GT(*wake, now_ms_ / kTick * kTick);
    for (const auto& [timer, deadline] : deadlines_) ASSERT_LT(*wake, deadline + kTick);
  }

  std::mt19937_64 random_;
  uint64_t now_ms_;
  TimerWheel wheel_;
  std::vector<Timer> timers_;
  std::map<Timer*, uint64_t> deadlines_;
  int fired_ = 0;
};

TEST(TimerWheelTest, AgreesWithAPlainMapOfDeadlines) {
  uint32_t seed = 1;
  for (uint64_t start : {uint64_t{0}, uint64_t{7'654'321}, kWheelMs - 50'000, 5 * kWheelMs - 1}) {
    for (int round = 0; round < 5; ++round) {
      SCOPED_TRACE(::testing::Message() << "seed " << seed << " start " << start);
      WheelModel model(seed++, start);
      for (int i = 0; i < 4'000; ++i) {
        model.Step();
        if (HasFatalFailure()) return;
      }
      EXPECT_GT(model.fired(), 500);
    }
  }
}

}  // namespace
}  // namespace sidelb
