#include "dataplane/net/tcp_session.h"

#include <sys/epoll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <utility>

#include "dataplane/net/socket_options.h"

namespace sidelb {
namespace {

constexpr unsigned kDownstreamTag = static_cast<unsigned>(Side::kDownstream);
constexpr unsigned kUpstreamTag = static_cast<unsigned>(Side::kUpstream);
constexpr uint64_t kLateOptionsMs = 5'000;
constexpr uint64_t kDeliveryCheckMs = 20;
constexpr uint64_t kDeliveryLimitMs = 30'000;  // where the half-close timeout is off
constexpr uint32_t kMaxAttempts = 8;

CloseReason BrokenReason(Side side, int error) {
  if (side == Side::kDownstream) {
    return error == ETIMEDOUT ? CloseReason::kDownstreamTimeout : CloseReason::kDownstreamReset;
  }
  return error == ETIMEDOUT ? CloseReason::kUpstreamTimeout : CloseReason::kUpstreamReset;
}

// For differences of less than an hour.
uint32_t NowUs() {
  const auto now = std::chrono::steady_clock::now().time_since_epoch();
  return static_cast<uint32_t>(std::chrono::duration_cast<std::chrono::microseconds>(now).count());
}

}  // namespace

void TcpSession::Start(ShardContext& shard, const LocalRef<SessionSettings>& settings,
                       UniqueFd downstream, const Address& client) {
  auto* session = new TcpSession(shard, settings, std::move(downstream), client);
  shard.sessions.PushBack(session);
  const int error =
      shard.poller.Add(session->downstream_.get(), session, kDownstreamTag, kWatchReads);
  if (error != 0) {
    shard.faults.Count(error, "watching an accepted connection");
    session->Close(CloseReason::kLocalError, true);
    return;
  }
  session->Connect();
}

TcpSession::TcpSession(ShardContext& shard, const LocalRef<SessionSettings>& settings,
                       UniqueFd downstream, const Address& client)
    : shard_(shard),
      settings_(settings),
      client_(client),
      downstream_(std::move(downstream)),
      started_ms_(shard.now_ms),
      active_ms_(shard.now_ms),
      relay_(shard.relay) {}

// ---- Connecting ----

void TcpSession::Connect() {
  state_ = State::kConnecting;
  for (;;) {
    if (!PickBackend()) return Close(failure_, true);
    connect_began_us_ = NowUs();
    int error = OpenUpstream(backend_->address(), &upstream_);
    if (error == 0)
      error = shard_.poller.Add(upstream_.get(), this, kUpstreamTag, kWatchReadsAndWrites);
    if (error == 0) break;
    OnConnectError(error);
    // Another backend needs a descriptor and memory just as well.
    if (error == EMFILE || error == ENFILE || error == ENOBUFS || error == ENOMEM) {
      return Close(CloseReason::kLocalError, true);
    }
  }
  backend_shard_->connecting.PushBack(this);
  const auto timeout = static_cast<uint64_t>(settings_->listener.connect_timeout.count());
  if (timeout > 0) {
    shard_.timers.Schedule(this, shard_.now_ms + timeout);
  } else {
    shard_.timers.Cancel(this);
  }
}

// Takes a place of the next backend; false, with failure_ set, when there is none.
bool TcpSession::PickBackend() {
  const PoolSnapshot* pool = shard_.FindPool(settings_->pool->id);
  const uint32_t limit = std::clamp(settings_->listener.connect_attempts, 1u, kMaxAttempts);
  if (attempts_ >= limit) return false;
  if (pool == nullptr) {
    failure_ = CloseReason::kNoBackend;
    return false;
  }
  const PickResult picked =
      pool->Pick({.client = &client_,
                  .random = NextRandom(&shard_.random_state),
                  .tried = absl::MakeConstSpan(tried_.get(), tried_ == nullptr ? 0 : attempts_)});
  if (picked.backend == nullptr) {
    // With a failed attempt behind it, that is the reason.
    if (attempts_ == 0) {
      failure_ = picked.error == PickError::kNoCapacity ? CloseReason::kNoCapacity
                                                        : CloseReason::kNoBackend;
    }
    return false;
  }
  backend_ = picked.backend;
  backend_shard_ = backend_->Shard(shard_.index);
  pool_load_ = pool->load();
  pool_load_->CountPick(shard_.index);
  backend_shard_->counters.CountPick(backend_->load.active.load(std::memory_order_relaxed));
  return true;
}

void TcpSession::OnConnectEvents(uint32_t events) {
  if ((events & (EPOLLERR | EPOLLHUP)) != 0) {
    int error = TakeSocketError(upstream_.get());
    // Told by a router on the way: it says nothing about this machine.
    if (error == ENETUNREACH) error = EHOSTUNREACH;
    if (error != 0 || (events & EPOLLHUP) != 0) {
      OnConnectError(error != 0 ? error : ECONNRESET);
      return Connect();
    }
  }
  if ((events & EPOLLOUT) != 0) OnConnected(events);
}

// Counts a failed attempt and leaves the backend; the next one is up to the caller.
void TcpSession::OnConnectError(int error) {
  ListenerCounters& listener = settings_->load->counters[shard_.index];
  if (Faults::IsLocal(error)) {
    shard_.faults.Count(error, "connecting to a backend");
    failure_ = CloseReason::kLocalError;
  } else {
    backend_shard_->counters.connect_errors.Add(1);
    listener.connect_errors.Add(1);
    backend_->load.consecutive_failures.fetch_add(1, std::memory_order_relaxed);
    pool_load_->failures.fetch_add(1, std::memory_order_relaxed);
    failure_ = CloseReason::kConnectFailed;
    if (error == ETIMEDOUT) {
      backend_shard_->counters.connect_timeouts.Add(1);
      listener.connect_timeouts.Add(1);
      failure_ = CloseReason::kConnectTimeout;
    }
  }
  const uint32_t limit = std::clamp(settings_->listener.connect_attempts, 1u, kMaxAttempts);
  if (tried_ == nullptr) tried_ = std::make_unique<Backend*[]>(kMaxAttempts);
  tried_[attempts_++] = backend_;
  if (attempts_ < limit) {
    backend_shard_->counters.retries.Add(1);
    listener.retries.Add(1);
  }
  LeaveBackend();
}

void TcpSession::LeaveBackend() {
  backend_hook.Unlink();
  upstream_.Reset();
  backend_shard_ = nullptr;
  pool_load_->CountLeave(shard_.index);
  Release(&std::exchange(backend_, nullptr)->load);
}

void TcpSession::Repick() {
  LeaveBackend();
  Connect();
}

void TcpSession::OnConnected(uint32_t events) {
  backend_hook.Unlink();
  backend_shard_->sessions.PushBack(this);
  backend_shard_->counters.sessions.Add(1);
  backend_shard_->counters.connect_latency.Record(NowUs() - connect_began_us_);
  if (backend_->load.consecutive_failures.load(std::memory_order_relaxed) != 0) {
    backend_->load.consecutive_failures.store(0, std::memory_order_relaxed);
  }
  state_ = State::kRelaying;
  active_ms_ = shard_.now_ms;
  // A connect timer that is early enough stays where it is: CheckTimeouts() moves it when it fires.
  const ListenerSettings& listener = settings_->listener;
  const bool is_idle_first =
      listener.idle_timeout.count() > 0 && listener.idle_timeout < listener.connect_timeout;
  if (!is_scheduled() || is_idle_first) CheckTimeouts();
  relay_.Start(downstream_.get(), upstream_.get());
  counted_bytes_[0] = counted_bytes_[1] = 0;
  const uint32_t downstream_events = std::exchange(downstream_events_, 0);
  if ((downstream_events & ~uint32_t{EPOLLOUT}) != 0) {
    Handle(relay_.OnEvents(Side::kDownstream, downstream_events));
  }
  if (state_ == State::kRelaying && (events & ~uint32_t{EPOLLOUT}) != 0) {
    Handle(relay_.OnEvents(Side::kUpstream, events));
  }
}

// ---- Relaying ----

void TcpSession::OnEvents(uint32_t events, unsigned tag) {
  switch (state_) {
    case State::kRelaying:
      Handle(relay_.OnEvents(static_cast<Side>(tag), events));
      break;
    case State::kConnecting:
      if (tag == kUpstreamTag) return OnConnectEvents(events);
      downstream_events_ |= events;
      if ((events & EPOLLERR) != 0) Close(CloseReason::kDownstreamReset, true);
      break;
    case State::kResetting:
      if ((events & (EPOLLERR | EPOLLHUP)) != 0) Close(failure_, true);
      break;
    case State::kClosed:
      break;
  }
}

void TcpSession::OnContinue() {
  if (state_ == State::kRelaying) Handle(relay_.Continue());
}

void TcpSession::Handle(Relay::Outcome outcome) {
  CountBytes();
  if (relay_.is_broken() && broken_ms_ == 0) {
    // From here on the other side has a limited time to take what came before the reset.
    broken_ms_ = shard_.now_ms;
    shard_.timers.Schedule(this, broken_ms_ + DeliveryLimitMs());
  }
  if (!WatchBlockedWrites()) return Close(CloseReason::kLocalError, true);
  switch (outcome) {
    case Relay::Outcome::kOpen:
      if (relay_.is_half_closed() && !was_half_closed_) {
        was_half_closed_ = true;
        const auto timeout = static_cast<uint64_t>(settings_->listener.half_close_timeout.count());
        if (timeout > 0) shard_.timers.Schedule(this, shard_.now_ms + timeout);
      }
      break;
    case Relay::Outcome::kYield:
      shard_.poller.Continue(this);
      break;
    case Relay::Outcome::kFinished:
      Close(CloseReason::kFinished, false);
      break;
    case Relay::Outcome::kReset:
      RetryOrReset();
      break;
  }
}

// The client's socket is watched for writing only from the first time that it takes no more: most
// never come to that, and registered for it from the start each would wake the shard once more.
bool TcpSession::WatchBlockedWrites() {
  if (has_watched_writes_ || relay_.is_writable(Side::kDownstream)) return true;
  has_watched_writes_ = true;
  const int error =
      shard_.poller.Change(downstream_.get(), this, kDownstreamTag, kWatchReadsAndWrites);
  if (error != 0) shard_.faults.Count(error, "watching an accepted connection");
  return error == 0;
}

// Adds what moved since the last call to the counters.
void TcpSession::CountBytes() {
  const uint64_t in = relay_.bytes_from(Side::kDownstream) - counted_bytes_[0];
  const uint64_t out = relay_.bytes_from(Side::kUpstream) - counted_bytes_[1];
  if ((in | out) == 0) return;
  active_ms_ = shard_.now_ms;
  counted_bytes_[0] += in;
  counted_bytes_[1] += out;
  ListenerCounters& listener = settings_->load->counters[shard_.index];
  listener.bytes_in.Add(in);
  listener.bytes_out.Add(out);
  backend_shard_->counters.bytes_in.Add(in);
  backend_shard_->counters.bytes_out.Add(out);
}

void TcpSession::RetryOrReset() {
  if (relay_.broken_side() == Side::kUpstream && !relay_.has_taken_anything() &&
      !relay_.is_broken_on_both_sides()) {
    const int error = relay_.error();
    relay_.Stop();
    has_late_options_ = false;
    broken_ms_ = 0;
    OnConnectError(error);
    // The relay has seen the edges of the client's socket: look at it anew.
    downstream_events_ = EPOLLIN | EPOLLRDHUP;
    return Connect();
  }
  ResetWhenDelivered(BrokenReason(relay_.broken_side(), relay_.error()));
}

void TcpSession::CheckTimeouts() {
  const ListenerSettings& listener = settings_->listener;
  if (broken_ms_ != 0) {
    const uint64_t limit = broken_ms_ + DeliveryLimitMs();
    if (shard_.now_ms < limit) return shard_.timers.Schedule(this, limit);
    return Close(BrokenReason(relay_.broken_side(), relay_.error()), true);
  }
  if (!has_late_options_ && shard_.now_ms >= started_ms_ + kLateOptionsMs) {
    has_late_options_ = true;
    SetUpstreamOptions(upstream_.get(), listener);
  }
  const bool half_closed = relay_.is_half_closed();
  const auto timeout = static_cast<uint64_t>(
      (half_closed ? listener.half_close_timeout : listener.idle_timeout).count());
  uint64_t next = has_late_options_ ? UINT64_MAX : started_ms_ + kLateOptionsMs;
  if (timeout > 0) {
    const uint64_t deadline = active_ms_ + timeout;
    if (shard_.now_ms >= deadline) {
      return Close(half_closed ? CloseReason::kHalfCloseTimeout : CloseReason::kIdleTimeout, true);
    }
    next = std::min(next, deadline);
  }
  if (next != UINT64_MAX) shard_.timers.Schedule(this, next);
}

void TcpSession::OnTimer() {
  switch (state_) {
    case State::kConnecting:
      OnConnectError(ETIMEDOUT);
      Connect();
      break;
    case State::kRelaying:
      CheckTimeouts();
      break;
    case State::kResetting:
      ResetWhenDelivered(failure_);
      break;
    case State::kClosed:
      break;
  }
}

// ---- Ending ----

// How long data before a reset may take to leave.
uint64_t TcpSession::DeliveryLimitMs() const {
  const auto configured = static_cast<uint64_t>(settings_->listener.half_close_timeout.count());
  return configured > 0 ? configured : kDeliveryLimitMs;
}

// One side is broken. The other one gets its RST when it has all that came before, at latest after
// the half-close timeout.
void TcpSession::ResetWhenDelivered(CloseReason reason) {
  UniqueFd& broken = relay_.broken_side() == Side::kDownstream ? downstream_ : upstream_;
  UniqueFd& other = relay_.broken_side() == Side::kDownstream ? upstream_ : downstream_;
  if (state_ != State::kResetting) {
    state_ = State::kResetting;
    failure_ = reason;
    broken.Reset();
  }
  const uint64_t deadline = broken_ms_ + DeliveryLimitMs();
  if (relay_.is_broken_on_both_sides() || IsSendQueueEmpty(other.get()) ||
      shard_.now_ms >= deadline) {
    return Close(reason, true);
  }
  shard_.timers.Schedule(this, shard_.now_ms + kDeliveryCheckMs);
}

void TcpSession::Abort(CloseReason reason) { Close(reason, true); }

void TcpSession::Close(CloseReason reason, bool with_reset) {
  if (state_ == State::kClosed) return;
  state_ = State::kClosed;
  shard_.timers.Cancel(this);
  relay_.Stop();
  if (with_reset) {
    CloseWithReset(&downstream_);
    CloseWithReset(&upstream_);
  } else {
    downstream_.Reset();
    upstream_.Reset();
  }
  const auto index = static_cast<size_t>(reason);
  ListenerLoad* const listener = settings_->load;
  listener->counters[shard_.index].closes[index].Add(1);
  if (backend_ != nullptr) {
    backend_shard_->counters.closes[index].Add(1);
    LeaveBackend();
  } else if (const PoolSnapshot* pool = shard_.FindPool(settings_->pool->id)) {
    pool->load()->counters[shard_.index].closes[index].Add(1);
  }
  shard_hook.Unlink();
  shard_.loads.Leave(shard_.index);
  shard_.admission.Leave();
  if (PausedListener* paused = shard_.paused.PopFront()) paused->Resume();
  shard_.poller.Bury(this);
  // Last: the control thread may destroy it from here on.
  listener->active.fetch_sub(1, std::memory_order_release);
}

}  // namespace sidelb
