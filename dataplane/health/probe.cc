#include "dataplane/health/probe.h"

#include <poll.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <string_view>
#include <utility>

#include "dataplane/base/faults.h"
#include "dataplane/base/status.h"
#include "dataplane/net/socket_options.h"
#include "fmt/format.h"

namespace sidelb {
namespace {

ProbeReason ReasonOf(int error) {
  if (Faults::IsLocal(error) && error != ENETUNREACH) return ProbeReason::kLocal;
  switch (error) {
    case ECONNREFUSED:
    case ECONNRESET:
    case EPIPE:
      return ProbeReason::kRefused;
    case ETIMEDOUT:
      return ProbeReason::kTimeout;
    default:
      return ProbeReason::kUnreachable;
  }
}

}  // namespace

Probe::Probe(EventLoop& loop, std::shared_ptr<const ProbeSettings> settings, Done done)
    : loop_(loop),
      settings_(std::move(settings)),
      done_(std::move(done)),
      started_(std::chrono::steady_clock::now()) {}

Probe* Probe::Start(EventLoop& loop, const Address& address,
                    std::shared_ptr<const ProbeSettings> settings, Done done) {
  auto* probe = new Probe(loop, std::move(settings), std::move(done));
  const bool is_udp = probe->settings_->kind == ProbeKind::kUdp;
  probe->is_connected_ = is_udp;
  int error = is_udp ? OpenUdpUpstream(address, &probe->fd_) : OpenUpstream(address, &probe->fd_);
  if (error == 0) error = loop.poller().Add(probe->fd_.get(), probe, 0, kWatchReadsAndWrites);
  if (error != 0) {
    probe->failed_at_start_ = error;
    loop.poller().Continue(probe);
    return probe;
  }
  loop.timers().Schedule(probe,
                         loop.now_ms() + static_cast<uint64_t>(probe->settings_->timeout.count()));
  return probe;
}

void Probe::Cancel() {
  done_ = nullptr;
  Finish(ProbeReason::kLocal, "");
}

void Probe::OnContinue() { Fail(failed_at_start_, "connect"); }

void Probe::OnTimer() {
  // Where this thread wakes late, what has arrived in time may not have been seen yet.
  pollfd socket{.fd = fd_.get(), .events = POLLIN | POLLOUT, .revents = 0};
  if (poll(&socket, 1, 0) > 0) {
    static_assert(POLLIN == EPOLLIN && POLLOUT == EPOLLOUT && POLLERR == EPOLLERR);
    OnEvents(static_cast<uint32_t>(socket.revents), 0);
    if (!fd_.is_open()) return;
  }
  if (!is_connected_) return Finish(ProbeReason::kTimeout, "connect: timed out");
  Finish(ProbeReason::kNoReply,
         fmt::format("{} of {} bytes answered in time", answer_.size(), settings_->expect.size()));
}

void Probe::OnEvents(uint32_t events, unsigned) {
  if (!fd_.is_open()) return;
  if ((events & EPOLLERR) != 0) {
    if (const int error = TakeSocketError(fd_.get()); error != 0) {
      return Fail(error, is_connected_ ? "receive" : "connect");
    }
  }
  if (!is_connected_) {
    if ((events & EPOLLOUT) == 0) return;
    is_connected_ = true;
    if (settings_->kind == ProbeKind::kTcpConnect) return Finish(ProbeReason::kOk, "");
  }
  SendRest();
  if (fd_.is_open()) Receive();
}

void Probe::SendRest() {
  const std::string_view rest = std::string_view(settings_->send).substr(sent_);
  if (rest.empty()) return;
  const ssize_t n = send(fd_.get(), rest.data(), rest.size(), MSG_NOSIGNAL);
  if (n >= 0) {
    sent_ += static_cast<size_t>(n);
  } else if (errno != EAGAIN) {
    Fail(errno, "send");
  }
}

void Probe::Receive() {
  char chunk[1024];
  for (;;) {
    const std::string& expect = settings_->expect;
    const size_t wanted = std::min(answer_.size(), expect.size());
    if (std::string_view(answer_).substr(0, wanted) != std::string_view(expect).substr(0, wanted)) {
      return Finish(ProbeReason::kBadResponse, "the answer begins otherwise");
    }
    if (sent_ == settings_->send.size() && wanted == expect.size()) {
      return Finish(ProbeReason::kOk, "");
    }
    const ssize_t n = recv(fd_.get(), chunk, sizeof(chunk), 0);
    if (n > 0) {
      answer_.append(chunk, static_cast<size_t>(n));
    } else if (n == 0) {
      return Finish(ProbeReason::kBadResponse, "closed before the whole answer");
    } else if (errno == EAGAIN) {
      return;
    } else if (errno != EINTR) {
      return Fail(errno, "receive");
    }
  }
}

void Probe::Fail(int error, const char* doing) {
  Finish(ReasonOf(error), fmt::format("{}: {}", doing, ErrnoName(error)));
}

void Probe::Finish(ProbeReason reason, std::string detail) {
  loop_.timers().Cancel(this);
  CloseWithReset(&fd_);
  Done done = std::exchange(done_, nullptr);
  const auto latency = std::chrono::duration_cast<std::chrono::microseconds>(
      std::chrono::steady_clock::now() - started_);
  loop_.poller().Bury(this);
  if (done) done({.reason = reason, .detail = std::move(detail), .latency = latency});
}

}  // namespace sidelb
