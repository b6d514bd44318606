// EventLoop: the one epoll loop of the load generator. Clients and backends register here.
//
// Threads: one. Ownership: whoever creates an Actor owns it, and removes it (by closing its
// descriptor) before it dies; an actor may not delete itself or another one while events are
// delivered, it calls Retire() instead.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "dataplane/base/unique_fd.h"

namespace sidelb::bench {

// Something with a descriptor that wants its events.
class Actor {
 public:
  virtual ~Actor() = default;
  // `events` as of epoll(7).
  virtual void OnEvents(uint32_t events) = 0;
};

class EventLoop {
 public:
  EventLoop();

  // Watches `fd` for `events` (as of epoll(7)) until it is closed.
  void Watch(int fd, uint32_t events, Actor* actor);
  // Destroys `actor` after the present batch of events.
  void Retire(std::unique_ptr<Actor> actor) { retired_.push_back(std::move(actor)); }
  // Delivers events until `is_done` holds, which is asked after every batch.
  void RunUntil(const std::function<bool()>& is_done);

 private:
  UniqueFd epoll_;
  std::vector<std::unique_ptr<Actor>> retired_;
};

// Ends the program with `what` and the text of errno.
[[noreturn]] void Fail(const char* what);

}  // namespace sidelb::bench
