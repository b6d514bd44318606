#include "dataplane/net/tcp_listener.h"

#include <sys/socket.h>

#include <cerrno>
#include <utility>

#include "dataplane/net/socket_options.h"

namespace sidelb {
namespace {

constexpr int kAcceptsPerTurn = 64;
constexpr int kClosingTurns = 4096 / kAcceptsPerTurn;  // the longest queue (SOMAXCONN)
constexpr uint64_t kPauseMs = 100;

// Whether accept(2) failed for one connection only, which is gone; the next may be fine.
bool IsOfOneConnection(int error) {
  switch (error) {
    case ECONNABORTED:
    case EINTR:
    case EPROTO:
    case EPERM:
    case ENETDOWN:
    case ENETUNREACH:
    case EHOSTDOWN:
    case EHOSTUNREACH:
    case ENOPROTOOPT:
    case EOPNOTSUPP:
      return true;
    default:
      return false;
  }
}

}  // namespace

TcpListener::TcpListener(ShardContext& shard, UniqueFd socket, const ListenerSettings& settings,
                         ListenerLoad* load)
    : shard_(shard), socket_(std::move(socket)), settings_(SessionSettings::Make(settings, load)) {
  SetDownstreamOptions(socket_.get(), settings);
}

int TcpListener::Open() {
  if (listen(socket_.get(), SOMAXCONN) != 0) return errno;
  is_listening_ = true;
  return shard_.poller.Add(socket_.get(), this, 0);
}

void TcpListener::Update(const ListenerSettings& settings, ListenerLoad* load) {
  settings_ = settings_->Next(settings, load);
  SetDownstreamOptions(socket_.get(), settings);
}

void TcpListener::Close() {
  // Under a flood the queue never empties: what one can have queued is enough.
  for (int turn = 0; is_listening_ && turn < kClosingTurns; ++turn) {
    if (AcceptSome() != Turn::kMore) break;
  }
  shard_.timers.Cancel(this);
  paused_hook.Unlink();
  socket_.Reset();
  shard_.poller.Bury(this);
}

void TcpListener::OnEvents(uint32_t, unsigned) { AcceptAndPlanNext(); }
void TcpListener::OnContinue() { AcceptAndPlanNext(); }
void TcpListener::OnTimer() { AcceptAndPlanNext(); }
void TcpListener::Resume() { shard_.poller.Continue(this); }

void TcpListener::AcceptAndPlanNext() {
  shard_.timers.Cancel(this);
  paused_hook.Unlink();
  switch (AcceptSome()) {
    case Turn::kDrained:
      break;
    case Turn::kPaused:
      shard_.paused.PushBack(this);
      shard_.timers.Schedule(this, shard_.now_ms + kPauseMs);
      break;
    case Turn::kMore:
      shard_.poller.Continue(this);
      break;
  }
}

TcpListener::Turn TcpListener::AcceptSome() {
  for (int i = 0; i < kAcceptsPerTurn; ++i) {
    if (!shard_.admission.TryEnter()) return Turn::kPaused;
    sockaddr_in6 peer;
    socklen_t size = sizeof(peer);
    const int fd = accept4(socket_.get(), reinterpret_cast<sockaddr*>(&peer), &size,
                           SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd >= 0) {
      Begin(UniqueFd(fd), Address::FromSockaddr(reinterpret_cast<sockaddr*>(&peer), size));
      continue;
    }
    const int error = errno;
    shard_.admission.Leave();
    if (error == EAGAIN) return Turn::kDrained;
    if (IsOfOneConnection(error)) continue;
    shard_.faults.Count(error, "accepting");
    return Turn::kPaused;
  }
  return Turn::kMore;
}

void TcpListener::Begin(UniqueFd accepted, const Address& client) {
  ListenerLoad& load = *settings_->load;
  ListenerCounters& counters = load.counters[shard_.index];
  counters.accepted.Add(1);
  const uint32_t limit = settings_->listener.max_connections;
  const uint32_t before = load.active.fetch_add(1, std::memory_order_relaxed);
  if (before >= limit && limit != 0) {
    CloseWithReset(&accepted);
    counters.closes[static_cast<size_t>(CloseReason::kListenerLimit)].Add(1);
    load.active.fetch_sub(1, std::memory_order_release);
    shard_.admission.Leave();
    return;
  }
  counters.peak_active.Raise(before + 1);
  TcpSession::Start(shard_, settings_, std::move(accepted), client);
}

}  // namespace sidelb
