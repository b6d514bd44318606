// The order within a turn of an EventLoop.
#include "dataplane/net/event_loop.h"

#include <gtest/gtest.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <functional>
#include <future>
#include <string>
#include <utility>

namespace sidelb {
namespace {

class Readable final : public PollTarget {
 public:
  explicit Readable(std::function<void()> on_event)
      : fd_(eventfd(0, EFD_NONBLOCK)), on_event_(std::move(on_event)) {}
  int fd() const { return fd_.get(); }
  void Signal() {
    const uint64_t one = 1;
    EXPECT_EQ(write(fd(), &one, sizeof(one)), static_cast<ssize_t>(sizeof(one)));
  }
  void OnEvents(uint32_t, unsigned) override { on_event_(); }
  void OnContinue() override {}

 private:
  UniqueFd fd_;
  std::function<void()> on_event_;
};

// What is posted may replace a socket: an event of the old one that was read with it must not reach
// the new one.
TEST(EventLoopTest, PostedFunctionsRunAfterTheEventsOfTheirTurn) {
  EventLoop loop;
  ASSERT_TRUE(loop.Start("test").ok());
  std::string order;
  std::promise<void> is_held, goes_on, done;
  auto* const holder = new Readable([&] {
    is_held.set_value();
    goes_on.get_future().wait();
  });
  auto* const target = new Readable([&] { order += "event "; });
  loop.Post([&] {
    EXPECT_EQ(loop.poller().Add(target->fd(), target, 0, kWatchReads), 0);
    EXPECT_EQ(loop.poller().Add(holder->fd(), holder, 0, kWatchReads), 0);
  });
  holder->Signal();
  is_held.get_future().wait();
  // While the loop is held in a turn: first a function, then an event, both of the next turn.
  loop.Post([&] {
    order += "posted ";
    done.set_value();
  });
  target->Signal();
  goes_on.set_value();
  done.get_future().wait();
  loop.Stop([&] {
    loop.poller().Bury(holder);
    loop.poller().Bury(target);
  });
  EXPECT_EQ(order, "event posted ");
}

}  // namespace
}  // namespace sidelb
