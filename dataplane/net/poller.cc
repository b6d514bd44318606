#include "dataplane/net/poller.h"

#include <cerrno>
#include <utility>

#include <boost/asio/post.hpp>

#include "dataplane/base/status.h"

namespace sidelb {
namespace {

constexpr uintptr_t kTagMask = 3;

}  // namespace

Poller::Poller(boost::asio::io_context& io, std::function<void()> before_batch,
               std::function<void()> after_batch)
    : io_(io),
      before_batch_(std::move(before_batch)),
      after_batch_(std::move(after_batch)),
      set_(io) {}

Poller::~Poller() { Stop(); }

absl::Status Poller::Start() {
  const int fd = epoll_create1(EPOLL_CLOEXEC);
  if (fd < 0) return ErrnoToStatus(errno, "cannot create an epoll set");
  set_.assign(fd);
  Wait();
  return absl::OkStatus();
}

void Poller::Stop() {
  is_stopped_ = true;
  boost::system::error_code ignored;
  set_.close(ignored);
  EmptyGraveyard();
}

int Poller::Add(int fd, PollTarget* target, unsigned tag) {
  epoll_event event{};
  event.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET;
  event.data.u64 = reinterpret_cast<uintptr_t>(target) | tag;
  return epoll_ctl(set_.native_handle(), EPOLL_CTL_ADD, fd, &event) == 0 ? 0 : errno;
}

void Poller::Remove(int fd) { epoll_ctl(set_.native_handle(), EPOLL_CTL_DEL, fd, nullptr); }

void Poller::Continue(PollTarget* target) {
  if (target->is_buried_ || target->hook_.is_linked()) return;
  ready_.PushBack(target);
  if (is_continuation_posted_) return;
  is_continuation_posted_ = true;
  boost::asio::post(io_, [this] { OnContinuation(); });
}

void Poller::OnContinuation() {
  is_continuation_posted_ = false;
  if (is_stopped_) return;
  before_batch_();
  is_in_batch_ = true;
  // Those that are put back while this runs wait for the next turn.
  IntrusiveList<PollTarget, &PollTarget::hook_> turn;
  turn.TakeAll(&ready_);
  while (PollTarget* target = turn.PopFront()) target->OnContinue();
  is_in_batch_ = false;
  EmptyGraveyard();
  after_batch_();
}

void Poller::Bury(PollTarget* target) {
  if (target->is_buried_) return;
  target->is_buried_ = true;
  target->hook_.Unlink();
  const bool is_first = graveyard_.empty();
  graveyard_.PushBack(target);
  // Outside a batch (in a timer or a publication) nothing else would empty it.
  if (is_first && !is_in_batch_) boost::asio::post(io_, [this] { EmptyGraveyard(); });
}

void Poller::Wait() {
  set_.async_wait(boost::asio::posix::descriptor_base::wait_read,
                  [this](const boost::system::error_code& error) {
                    if (!error && !is_stopped_) OnWake();
                  });
}

void Poller::OnWake() {
  before_batch_();
  is_in_batch_ = true;
  const int count = epoll_wait(set_.native_handle(), events_, kBatch, 0);
  for (int i = 0; i < count; ++i) {
    const uint64_t data = events_[i].data.u64;
    auto* target = reinterpret_cast<PollTarget*>(data & ~kTagMask);
    if (!target->is_buried_) target->OnEvents(events_[i].events, data & kTagMask);
  }
  is_in_batch_ = false;
  EmptyGraveyard();
  after_batch_();
  if (!is_stopped_) Wait();
}

void Poller::EmptyGraveyard() {
  while (PollTarget* target = graveyard_.PopFront()) delete target;
}

}  // namespace sidelb
