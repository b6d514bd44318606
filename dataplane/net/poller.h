// Poller: an edge-triggered epoll set nested in an io_context. A target registers its descriptors
// once and is told of every change; there is no re-arming, no handler allocation and no buffer
// while idle.
//
// One wake-up is: one epoll_wait of up to 256 events, the graveyard, then async_wait on the set's
// own descriptor. Asio's EPOLL_CTL_MOD inside that call polls the set again: it is the level check
// that makes the edge-triggered outer registration safe, so it must stay. Targets that stopped at
// their budget before the kernel said EAGAIN stand on the ready list; while it is not empty one
// continuation is posted, so that timers and publications get their turn in between.
//
// Thread safety: the thread that runs the io_context. Ownership: the shard owns it; a target must
// Bury() itself instead of being deleted while events of the same batch may name it.
#pragma once

#include <sys/epoll.h>

#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <cstdint>
#include <functional>

#include "absl/status/status.h"
#include "dataplane/base/intrusive_list.h"

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

class Poller {
 public:
  // `before_batch` runs first at each wake-up (the shard reads its clock there), `after_batch` last
  // (the shard moves its system timer there).
  Poller(boost::asio::io_context& io, std::function<void()> before_batch,
         std::function<void()> after_batch);
  ~Poller();
  Poller(const Poller&) = delete;
  Poller& operator=(const Poller&) = delete;

  // Creates the set and begins to wait on it. RESOURCE_EXHAUSTED without descriptors.
  absl::Status Start();
  // Stops waiting and frees the graveyard.
  void Stop();

  // Registers `fd` for reading, writing and hang-up, edge-triggered; a state that holds already is
  // reported at the next batch. `tag` is 0..3. Closing the last descriptor of the socket
  // unregisters it. Returns 0 or errno.
  int Add(int fd, PollTarget* target, unsigned tag);
  void Remove(int fd);

  // OnContinue() will be called after the others had their turn.
  void Continue(PollTarget* target);
  // Deletes `target` after the present batch; it gets no more calls.
  void Bury(PollTarget* target);

 private:
  void Wait();
  void OnWake();
  void OnContinuation();
  void EmptyGraveyard();

  static constexpr int kBatch = 256;

  boost::asio::io_context& io_;
  std::function<void()> before_batch_;
  std::function<void()> after_batch_;
  boost::asio::posix::stream_descriptor set_;
  IntrusiveList<PollTarget, &PollTarget::hook_> ready_;
  IntrusiveList<PollTarget, &PollTarget::hook_> graveyard_;
  bool is_continuation_posted_ = false;
  bool is_in_batch_ = false;
  bool is_stopped_ = false;
  epoll_event events_[kBatch];
};

}  // namespace sidelb
