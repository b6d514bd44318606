#include "bench/load/event_loop.h"

#include <sys/epoll.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace sidelb::bench {
namespace {

constexpr int kBatch = 128;
// The longest sleep: how late the end of a window may be noticed when nothing happens.
constexpr int kWaitMs = 10;

}  // namespace

void Fail(const char* what) {
  std::fprintf(stderr, "sidelb-load: %s: %s\n", what, std::strerror(errno));
  std::exit(1);
}

EventLoop::EventLoop() : epoll_(epoll_create1(EPOLL_CLOEXEC)) {
  if (!epoll_.is_open()) Fail("epoll_create1");
}

void EventLoop::Watch(int fd, uint32_t events, Actor* actor) {
  epoll_event event{};
  event.events = events;
  event.data.ptr = actor;
  if (epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) != 0) Fail("epoll_ctl");
}

void EventLoop::RunUntil(const std::function<bool()>& is_done) {
  epoll_event events[kBatch];
  while (!is_done()) {
    const int count = epoll_wait(epoll_.get(), events, kBatch, kWaitMs);
    if (count < 0 && errno != EINTR) Fail("epoll_wait");
    for (int i = 0; i < count; ++i) {
      static_cast<Actor*>(events[i].data.ptr)->OnEvents(events[i].events);
    }
    retired_.clear();
  }
}

}  // namespace sidelb::bench
