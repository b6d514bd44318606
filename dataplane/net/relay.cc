#include "dataplane/net/relay.h"

#include <fcntl.h>
#include <linux/sockios.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "dataplane/net/socket_options.h"

namespace sidelb {
namespace {

constexpr uint32_t kEnds = EPOLLRDHUP | EPOLLHUP | EPOLLERR;

}  // namespace

Relay::~Relay() { Stop(); }

void Relay::Start(int downstream_fd, int upstream_fd) {
  peers_[0] = Peer{.fd = downstream_fd};
  peers_[1] = Peer{.fd = upstream_fd};
  // A socket that has just been connected takes data.
  peers_[0].is_writable = peers_[1].is_writable = true;
  has_taken_anything_ = false;
  broken_ = kNobody;
  error_ = 0;
}

void Relay::Stop() {
  for (Direction& direction : directions_) {
    if (direction.pipe != nullptr) resources_.pipes.Return(std::move(direction.pipe));
    direction = Direction{};
  }
}

Relay::Outcome Relay::OnEvents(Side side, uint32_t events) {
  Peer& peer = peers_[Index(side)];
  if ((events & (EPOLLIN | kEnds)) != 0) peer.is_readable = true;
  if ((events & (EPOLLOUT | EPOLLHUP | EPOLLERR)) != 0) peer.is_writable = true;
  if ((events & kEnds) != 0) peer.is_hung_up = true;
  if ((events & EPOLLERR) != 0) {
    const int error = TakeSocketError(peer.fd);
    if (error != 0) Break(Index(side), error);
  }
  return Run();
}

Relay::Outcome Relay::Continue() { return Run(); }

Relay::Outcome Relay::Run() {
  Step steps[2];
  for (size_t from : {0, 1}) steps[from] = Pump(from);
  if (broken_ != kNobody) {
    // Only what the broken side sent before its end still matters. It may have broken after its
    // turn above, and then no further edge would tell of what it sent.
    if (steps[broken_] != Step::kYield) steps[broken_] = Pump(broken_);
    if (is_broken_on_both_sides() || IsDelivered(broken_)) return Outcome::kReset;
    return steps[broken_] == Step::kYield ? Outcome::kYield : Outcome::kOpen;
  }
  if (directions_[0].is_fin_sent && directions_[1].is_fin_sent) return Outcome::kFinished;
  return steps[0] == Step::kYield || steps[1] == Step::kYield ? Outcome::kYield : Outcome::kOpen;
}

bool Relay::IsDelivered(size_t from) const {
  const Direction& direction = directions_[from];
  return (direction.is_fin_taken && !HasPending(direction)) || peers_[1 - from].is_broken;
}

// Moves bytes from one peer to the other until there are none, the other takes none, or the
// budget is used up.
Relay::Step Relay::Pump(size_t from) {
  Direction& direction = directions_[from];
  Peer& source = peers_[from];
  Peer& target = peers_[1 - from];
  size_t moved = 0;
  for (int reads = 0;; ++reads) {
    if (target.is_broken || direction.is_fin_sent) return Step::kDone;
    if (HasPending(direction) && !Flush(from)) return Step::kDone;
    if (direction.is_fin_taken) {
      // A reset is not a FIN: the other side learns of it by kReset.
      if (!source.is_broken) TakeEnd(from);
      return Step::kDone;
    }
    if (!source.is_readable) return Step::kDone;
    if (reads == kBudgetReads || moved >= kBudgetBytes) return Step::kYield;
    if (direction.is_splicing) {
      Splice(from, &moved);
    } else {
      Copy(from, &moved);
    }
  }
}

// Both FINs passed: the caller closes both sockets, which sends the second FIN by itself.
void Relay::TakeEnd(size_t from) {
  directions_[from].is_fin_sent = true;
  if (directions_[1 - from].is_fin_sent) return;
  if (shutdown(peers_[1 - from].fd, SHUT_WR) != 0 && errno != ENOTCONN) Break(1 - from, errno);
}

void Relay::Break(size_t side, int error) {
  peers_[side].is_broken = true;
  peers_[side].is_hung_up = true;
  peers_[side].is_readable = true;  // what came before the end is still there
  if (broken_ == kNobody) {
    broken_ = static_cast<uint8_t>(side);
    error_ = error;
  }
}

void Relay::Copy(size_t from, size_t* moved) {
  Direction& direction = directions_[from];
  Peer& source = peers_[from];
  Peer& target = peers_[1 - from];
  char* const scratch = resources_.scratch.get();
  const ssize_t received = recv(source.fd, scratch, RelayResources::kScratchBytes, 0);
  if (received < 0) {
    if (errno == EINTR) return;
    source.is_readable = false;
    if (errno == EAGAIN && !source.is_broken) return;
    if (errno != EAGAIN) Break(from, errno);
    source.is_readable = false;
    direction.is_fin_taken = true;
    return;
  }
  // After a reset whose error has been read, the end of the stream is no FIN.
  if (received > 0 || !source.is_broken) has_taken_anything_ = true;
  if (received == 0) {
    source.is_readable = false;
    direction.is_fin_taken = true;
    return;
  }
  const auto size = static_cast<size_t>(received);
  *moved += size;
  if (size == RelayResources::kScratchBytes) {
    if (++direction.full_reads >= kFullReadsToSplice) direction.is_splicing = true;
  } else {
    direction.full_reads = 0;
    // A short read means that the socket is drained, unless an end stands behind the data, of
    // which no further edge would tell.
    if (!source.is_hung_up) source.is_readable = false;
  }
  size_t sent = 0;
  while (sent < size) {
    const ssize_t n = send(target.fd, scratch + sent, size - sent, MSG_NOSIGNAL);
    if (n >= 0) {
      sent += static_cast<size_t>(n);
      direction.bytes += static_cast<size_t>(n);
      // A short send means that the buffer is full; the kernel reports when it is not.
      if (sent == size) return;
      continue;
    }
    if (errno == EINTR) continue;
    if (errno == EAGAIN) {
      target.is_writable = false;
      KeepUnsent(direction, scratch + sent, size - sent);
      return;
    }
    Break(1 - from, errno);
    return;
  }
}

bool Relay::KeepUnsent(Direction& direction, const char* data, size_t size) {
  direction.buffer = std::make_unique_for_overwrite<char[]>(size);
  std::memcpy(direction.buffer.get(), data, size);
  direction.buffer_begin = 0;
  direction.buffer_end = static_cast<uint32_t>(size);
  return true;
}

// Hands pending bytes to the target; true when none is left.
bool Relay::Flush(size_t from) {
  Direction& direction = directions_[from];
  Peer& target = peers_[1 - from];
  while (target.is_writable) {
    ssize_t n;
    if (direction.buffer != nullptr) {
      n = send(target.fd, direction.buffer.get() + direction.buffer_begin,
               direction.buffer_end - direction.buffer_begin, MSG_NOSIGNAL);
    } else {
      n = splice(direction.pipe->read_end.get(), nullptr, target.fd, nullptr,
                 direction.pipe->fill_bytes, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
    }
    if (n < 0) {
      if (errno == EINTR) continue;
      if (errno == EAGAIN) {
        target.is_writable = false;
      } else {
        Break(1 - from, errno);
      }
      return false;
    }
    if (n == 0) {  // never, while bytes are pending; but it would not end
      Break(1 - from, EPIPE);
      return false;
    }
    direction.bytes += static_cast<size_t>(n);
    if (direction.buffer != nullptr) {
      direction.buffer_begin += static_cast<uint32_t>(n);
      if (direction.buffer_begin < direction.buffer_end) continue;
      direction.buffer.reset();
      return true;
    }
    direction.pipe->fill_bytes -= static_cast<size_t>(n);
    if (direction.pipe->fill_bytes > 0) continue;
    resources_.pipes.Return(std::move(direction.pipe));
    return true;
  }
  return false;
}

// Until the scratch buffer is filled again.
void Relay::CopyFromHereOn(Direction& direction) {
  direction.is_splicing = false;
  direction.full_reads = direction.small_splices = 0;
}

// One splice into an empty pipe; Flush() moves it on. REQUIRES: nothing is pending.
void Relay::Splice(size_t from, size_t* moved) {
  Direction& direction = directions_[from];
  Peer& source = peers_[from];
  std::unique_ptr<Pipe> pipe = resources_.pipes.Acquire();
  if (pipe == nullptr) return CopyFromHereOn(direction);  // none free: for now
  const ssize_t n = splice(source.fd, nullptr, pipe->write_end.get(), nullptr, kBudgetBytes,
                           SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
  if (n > 0) {
    has_taken_anything_ = true;
    *moved += static_cast<size_t>(n);
    pipe->fill_bytes = static_cast<size_t>(n);
    direction.pipe = std::move(pipe);
    const bool is_small = static_cast<size_t>(n) < kSmallSplice;
    direction.small_splices = is_small ? direction.small_splices + 1 : 0;
    if (direction.small_splices == kSmallSplicesToCopy) CopyFromHereOn(direction);
    return;
  }
  const int error = n < 0 ? errno : 0;
  resources_.pipes.Return(std::move(pipe));
  if (error == EINTR) return;
  if (error == EAGAIN && !source.is_broken) {
    // The pipe was empty, so it is the socket that is drained.
    source.is_readable = false;
    return;
  }
  // This socket cannot be spliced.
  if (error == EINVAL || error == ENOSYS) return CopyFromHereOn(direction);
  if (n < 0 && error != EAGAIN) Break(from, error);
  if (!source.is_broken) has_taken_anything_ = true;
  source.is_readable = false;
  direction.is_fin_taken = true;
}

bool IsSendQueueEmpty(int fd) {
  int unsent = 0;
  return ioctl(fd, SIOCOUTQ, &unsent) != 0 || unsent == 0;
}

}  // namespace sidelb
