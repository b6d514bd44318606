#include "dataplane/net/poller.h"

#include <cerrno>

#include "dataplane/base/status.h"

namespace sidelb {
namespace {

constexpr uintptr_t kTagMask = 3;

}  // namespace

Poller::~Poller() { Stop(); }

absl::Status Poller::Start() {
  const int fd = epoll_create1(EPOLL_CLOEXEC);
  if (fd < 0) return ErrnoToStatus(errno, "cannot create an epoll set");
  set_.Reset(fd);
  return absl::OkStatus();
}

void Poller::Stop() {
  set_.Reset();
  EmptyGraveyard();
}

int Poller::Add(int fd, PollTarget* target, unsigned tag, Watched watched) {
  return Control(EPOLL_CTL_ADD, fd, target, tag, watched);
}

int Poller::Change(int fd, PollTarget* target, unsigned tag, Watched watched) {
  return Control(EPOLL_CTL_MOD, fd, target, tag, watched);
}

int Poller::Control(int operation, int fd, PollTarget* target, unsigned tag, Watched watched) {
  epoll_event event{};
  event.events = watched;
  event.data.u64 = reinterpret_cast<uintptr_t>(target) | tag;
  return epoll_ctl(set_.get(), operation, fd, &event) == 0 ? 0 : errno;
}

void Poller::Continue(PollTarget* target) {
  if (target->is_buried_ || target->hook_.is_linked()) return;
  ready_.PushBack(target);
}

void Poller::Bury(PollTarget* target) {
  if (target->is_buried_) return;
  target->is_buried_ = true;
  target->hook_.Unlink();
  graveyard_.PushBack(target);
}

int Poller::Wait() {
  const bool sleeps = ready_.empty() && graveyard_.empty();
  if (sleeps && busy_poll_.count() > 0) {
    if (const int count = WaitAwake(); count != 0) return count;
  }
  return epoll_wait(set_.get(), events_, kBatch, sleeps ? -1 : 0);
}

// 0 when nothing came in time.
int Poller::WaitAwake() {
  const auto end = std::chrono::steady_clock::now() + busy_poll_;
  do {
    if (const int count = epoll_wait(set_.get(), events_, kBatch, 0); count != 0) return count;
  } while (std::chrono::steady_clock::now() < end);
  return 0;
}

void Poller::Serve(int count) {
  ++turn_;
  // Those that are put back while this runs wait for the next turn.
  List turn;
  turn.TakeAll(&ready_);
  for (int i = 0; i < count; ++i) {
    const uint64_t data = events_[i].data.u64;
    auto* target = reinterpret_cast<PollTarget*>(data & ~kTagMask);
    if (!target->is_buried_) target->OnEvents(events_[i].events, data & kTagMask);
  }
  while (PollTarget* target = turn.PopFront()) target->OnContinue();
  EmptyGraveyard();
}

void Poller::EmptyGraveyard() {
  while (PollTarget* target = graveyard_.PopFront()) delete target;
}

}  // namespace sidelb
