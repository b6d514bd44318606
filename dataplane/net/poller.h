// Poller: the epoll set of one thread. A target registers its descriptors once and is told of every
// change; there is no re-arming, no handler allocation and no buffer while idle.
//
// One turn is: epoll_wait of up to 256 events, the targets on the ready list, the graveyard.
// Targets that stopped at their budget before the kernel said EAGAIN stand on the ready list; while
// it is not empty a turn does not sleep, so that everything else gets its turn in between.
//
// Thread safety: the thread that calls Turn(). Ownership: the event loop owns it; a target must
// Bury() itself instead of being deleted while events of the same turn may name it.
#pragma once

#include <sys/epoll.h>

#include <chrono>
#include <cstdint>
#include <functional>

#include "absl/status/status.h"
#include "dataplane/base/intrusive_list.h"
#include "dataplane/base/unique_fd.h"

namespace sidelb {

// What a poller calls.
class PollTarget {
 public:
  virtual ~PollTarget() = default;
  // `events` are those of epoll_wait; `tag` is what Add() was given.
  virtual void OnEvents(uint32_t events, unsigned tag) = 0;
  // The next turn of a target that called Poller::Continue().
  virtual void OnContinue() = 0;

 private:
  friend class Poller;
  ListHook hook_;  // of the ready list or the graveyard
  bool is_buried_ = false;
};

// What a descriptor is watched for. EPOLLHUP and EPOLLERR are always told.
enum Watched : uint32_t {
  // Edge-triggered: told once for each arrival, a FIN included. Whoever reads goes on until EAGAIN,
  // a short read, or Continue().
  kWatchReads = EPOLLIN | EPOLLRDHUP | EPOLLET,
  // The same, and once for each time that it can be written to again.
  kWatchReadsAndWrites = kWatchReads | EPOLLOUT,
  // Level-triggered: told in each turn in which it can be read.
  kWatchLevel = EPOLLIN,
  kWatchNothing = 0,
};

class Poller {
 public:
  Poller() = default;
  ~Poller();
  Poller(const Poller&) = delete;
  Poller& operator=(const Poller&) = delete;

  // Before each sleep it asks the kernel for `time` whether there is something, without sleeping:
  // a wake-up is spared, for a whole CPU. 0: it sleeps at once. Before Start().
  void SetBusyPoll(std::chrono::microseconds time) { busy_poll_ = time; }
  // Creates the set. RESOURCE_EXHAUSTED without descriptors.
  absl::Status Start();
  // Closes the set and frees the graveyard.
  void Stop();

  // Sleeps until there are events (not at all while targets wait for their next turn), calls
  // `before`, and serves what there is. Returns after the graveyard is empty.
  template <typename Before>
  void Turn(Before before) {
    const int count = Wait();
    before();
    Serve(count);
  }
  // Counts the turns: what is watched by level and was told in two turns in a row had more to read.
  uint64_t turn() const { return turn_; }

  // Watches `fd`; a state that holds already is told in the next turn. `tag` is 0..3. Closing the
  // last descriptor of the socket unregisters it. Returns 0 or errno.
  int Add(int fd, PollTarget* target, unsigned tag, Watched watched);
  // Changes what a descriptor is watched for; as with Add() a state that holds is told.
  int Change(int fd, PollTarget* target, unsigned tag, Watched watched);

  // OnContinue() will be called after the others had their turn.
  void Continue(PollTarget* target);
  // Deletes `target` after the present turn; it gets no more calls.
  void Bury(PollTarget* target);

 private:
  int Control(int operation, int fd, PollTarget* target, unsigned tag, Watched watched);
  int Wait();
  int WaitAwake();
  void Serve(int count);
  void EmptyGraveyard();

  static constexpr int kBatch = 256;
  using List = IntrusiveList<PollTarget, &PollTarget::hook_>;

  UniqueFd set_;
  List ready_;
  List graveyard_;
  uint64_t turn_ = 0;
  std::chrono::microseconds busy_poll_{0};
  epoll_event events_[kBatch];
};

}  // namespace sidelb
