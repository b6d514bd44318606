#include "dataplane/net/tcp_listener.h"

#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "dataplane/net/socket_options.h"

namespace sidelb {
namespace {

constexpr int kMaxAcceptsPerTurn = 64;
constexpr int kClosingAccepts = 4096;  // the longest queue (SOMAXCONN)
constexpr int kFullTurnsToGrow = 4;
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
  if (const int error = shard_.poller.Add(socket_.get(), this, 0, kWatchLevel); error != 0) {
    return error;
  }
  shard_.tcp_listeners[load_serial()] = this;
  return 0;
}

void TcpListener::Update(const ListenerSettings& settings, ListenerLoad* load) {
  settings_ = settings_->Next(settings, load);
  shard_.tcp_listeners[load_serial()] = this;
  SetDownstreamOptions(socket_.get(), settings);
}

void TcpListener::Close() {
  // What is queued begins here, before the change is acknowledged.
  is_closing_ = true;
  // Under a flood the queue never empties: what one can have queued is enough.
  int accepted = 0;
  if (is_listening_) AcceptSome(kClosingAccepts, &accepted);
  absl::erase_if(shard_.tcp_listeners, [this](const auto& one) { return one.second == this; });
  shard_.timers.Cancel(this);
  paused_hook.Unlink();
  socket_.Reset();
  shard_.poller.Bury(this);
}

void TcpListener::OnEvents(uint32_t, unsigned) { AcceptAndPlanNext(); }
void TcpListener::OnContinue() { AcceptAndPlanNext(); }
void TcpListener::OnTimer() { AcceptAndPlanNext(); }
void TcpListener::Resume() { shard_.poller.Continue(this); }

// An accept4() that finds an empty queue costs nearly as much as one that does not, so as many are
// made as there were connections before; what is left over is told of in the next turn.
void TcpListener::AcceptAndPlanNext() {
  shard_.timers.Cancel(this);
  paused_hook.Unlink();
  int accepted = 0;
  const Turn turn = AcceptSome(accepts_per_turn_, &accepted);
  Watch(turn != Turn::kPaused);
  switch (turn) {
    case Turn::kDrained:
      accepts_per_turn_ = std::max(1, accepted);
      full_turns_ = 0;
      break;
    case Turn::kPaused:
      shard_.paused.PushBack(this);
      shard_.timers.Schedule(this, shard_.now_ms + kPauseMs);
      break;
    case Turn::kMore: {
      const uint64_t now = shard_.poller.turn();
      full_turns_ = now - last_full_turn_ <= 1 ? full_turns_ + 1 : 1;
      last_full_turn_ = now;
      if (full_turns_ < kFullTurnsToGrow) break;
      full_turns_ = 0;
      accepts_per_turn_ = std::min(2 * accepts_per_turn_, kMaxAcceptsPerTurn);
      break;
    }
  }
}

// While paused, a queue that is not empty must not wake the shard.
void TcpListener::Watch(bool is_watching) {
  if (is_watching == is_watching_) return;
  is_watching_ = is_watching;
  shard_.poller.Change(socket_.get(), this, 0, is_watching ? kWatchLevel : kWatchNothing);
}

TcpListener::Turn TcpListener::AcceptSome(int limit, int* accepted) {
  while (*accepted < limit) {
    if (!shard_.admission.TryEnter()) return Turn::kPaused;
    sockaddr_in6 peer;
    socklen_t size = sizeof(peer);
    const int fd = accept4(socket_.get(), reinterpret_cast<sockaddr*>(&peer), &size,
                           SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd >= 0) {
      ++*accepted;
      Begin(UniqueFd(fd), Address::FromSockaddr(reinterpret_cast<sockaddr*>(&peer), size));
      continue;
    }
    const int error = errno;
    shard_.admission.Leave();
    if (error == EAGAIN) return Turn::kDrained;
    if (IsOfOneConnection(error)) {
      ++*accepted;
      continue;
    }
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
  const size_t home = is_closing_
                          ? shard_.index
                          : shard_.loads.Choose(shard_.index, NextRandom(&shard_.random_state));
  shard_.loads.Enter(home);
  if (home == shard_.index) {
    return TcpSession::Start(shard_, settings_, std::move(accepted), client);
  }
  HandOver(shard_, home,
           {.socket = std::move(accepted),
            .client = client,
            .settings = settings_->listener,
            .load = settings_->load,
            .accepted_by = shard_.index});
}

void TcpListener::HandOver(ShardContext& shard, size_t to, AcceptedConnection connection) {
  shard.loads.Send(to);
  shard.hand_over(to, std::move(connection));
}

void TcpListener::Take(ShardContext& shard, AcceptedConnection connection) {
  shard.loads.Arrive(shard.index);
  const auto found = shard.tcp_listeners.find(connection.load->serial);
  if (found != shard.tcp_listeners.end()) {
    const SessionSettings& present = *found->second->settings_;
    // It is counted where it was accepted, also when another listener has taken over since.
    const LocalRef<SessionSettings> settings =
        present.load == connection.load ? found->second->settings_
                                        : LocalRef<SessionSettings>(new SessionSettings(
                                              present.listener, connection.load, present.pool));
    return TcpSession::Start(shard, settings, std::move(connection.socket), connection.client);
  }
  if (connection.accepted_by != shard.index && !shard.loads.is_stopped()) {
    // A change is under way: the listener, and perhaps its pool, is not here yet or not any more.
    const size_t back = connection.accepted_by;
    shard.loads.Leave(shard.index);
    shard.loads.Enter(back);
    return HandOver(shard, back, std::move(connection));
  }
  // Removed everywhere by now: it begins as those did that were queued at that time.
  TcpSession::Start(shard, SessionSettings::Make(connection.settings, connection.load),
                    std::move(connection.socket), connection.client);
}

}  // namespace sidelb
