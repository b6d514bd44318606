#include "dataplane/net/udp_session.h"

#include <sys/epoll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "dataplane/net/socket_options.h"
#include "dataplane/net/udp_listener.h"

namespace sidelb {
namespace {

constexpr int kAnswersPerCall = 8;
constexpr int kCallsPerTurn = 8;
constexpr int kSendAttempts = 3;
// After which an answered session of a lingering listener counts as ended.
constexpr uint64_t kQuietMs = 1'000;

}  // namespace

UdpSession::UdpSession(ShardContext& shard, UdpListener& listener,
                       const LocalRef<SessionSettings>& settings, const UdpKey& key,
                       const RawPeer& peer)
    : shard_(shard),
      listener_(&listener),
      settings_(settings),
      key_(key),
      peer_(peer),
      active_ms_(shard.now_ms) {
  shard.sessions.PushBack(this);
  if (const uint64_t deadline = Deadline(); deadline != 0) shard.timers.Schedule(this, deadline);
}

// When it ends unless something moves; 0 = never.
uint64_t UdpSession::Deadline() const {
  const ListenerSettings& listener = settings_->listener;
  const bool expects_answer = listener.udp_policy == UdpPolicy::kSession ||
                              listener.udp_policy == UdpPolicy::kRequestResponse;
  const bool waits = !is_answered_ && expects_answer;
  if (listener_->is_lingering() && !waits) return active_ms_ + (expects_answer ? kQuietMs : 0);
  const auto timeout = waits ? listener.udp_unanswered_timeout : listener.udp_session_timeout;
  return timeout.count() == 0 ? 0 : active_ms_ + static_cast<uint64_t>(timeout.count());
}

void UdpSession::OnTimer() {
  const uint64_t deadline = Deadline();
  if (deadline == 0) return;
  if (shard_.now_ms >= deadline) {
    // One that waited for a backend in vain did not end because it was idle.
    const bool is_rejected = backend_ == nullptr && failure_ != CloseReason::kUnspecified;
    return Close(is_rejected                 ? failure_
                 : listener_->is_lingering() ? CloseReason::kFinished
                                             : CloseReason::kIdleTimeout);
  }
  shard_.timers.Schedule(this, deadline);
}

// ---- From the client ----

void UdpSession::Forward() {
  UdpSender& sender = shard_.udp->to_backend;
  ListenerCounters& counters = settings_->load->counters[shard_.index];
  if (settings_->listener.udp_policy == UdpPolicy::kPerPacket && backend_ != nullptr) {
    LeaveBackend();
  }
  // It may have been evicted for another datagram of the same batch.
  const int attempts = is_closed_ ? 0 : kSendAttempts;
  for (int attempt = 0; attempt < attempts && sender.size() > 0; ++attempt) {
    if (backend_ == nullptr && !Connect()) break;
    const int queued = sender.size();
    const size_t bytes = sender.bytes();
    const int error = sender.Flush(upstream_.get());
    CountIn(queued - sender.size(), bytes - sender.bytes());
    if (error == 0) break;
    if (error == ECONNREFUSED) {
      // Of an earlier datagram; this one was not sent, and goes to another backend.
      OnRefused();
    } else if (error == EAGAIN || error == ENOBUFS) {
      break;  // the kernel's buffer is full: the rest is lost
    } else {
      shard_.faults.Count(error, "sending a datagram to a backend");
      sender.DropFirst();
      counters.datagrams_dropped.Add(1);
    }
  }
  counters.datagrams_dropped.Add(static_cast<uint64_t>(sender.size()));
  sender.Clear();
}

void UdpSession::CountIn(int datagrams, size_t bytes) {
  if (datagrams == 0) return;
  active_ms_ = shard_.now_ms;
  awaited_answers_ += static_cast<uint64_t>(datagrams);
  ListenerCounters& counters = settings_->load->counters[shard_.index];
  counters.datagrams_in.Add(static_cast<uint64_t>(datagrams));
  counters.bytes_in.Add(bytes);
  backend_shard_->counters.datagrams_in.Add(static_cast<uint64_t>(datagrams));
  backend_shard_->counters.bytes_in.Add(bytes);
}

// Picks a backend and opens a socket for it; false, with failure_ set, when none can be had.
bool UdpSession::Connect() {
  const PoolSnapshot* pool = shard_.FindPool(settings_->pool->id);
  failure_ = CloseReason::kNoBackend;
  if (pool == nullptr) return false;
  PickRequest request{.client = &key_.client, .random = NextRandom(&shard_.random_state)};
  // Not the one that refused, unless it is the only one.
  if (refused_by_ != nullptr) request.tried = absl::MakeConstSpan(&refused_by_, 1);
  PickResult picked = pool->Pick(request);
  if (picked.backend == nullptr && refused_by_ != nullptr) {
    request.tried = {};
    picked = pool->Pick(request);
  }
  if (picked.backend == nullptr) {
    if (picked.error == PickError::kNoCapacity) failure_ = CloseReason::kNoCapacity;
    return false;
  }
  return ConnectTo(picked.backend, pool->load());
}

bool UdpSession::ConnectTo(Backend* backend, PoolLoad* pool_load) {
  backend_ = backend;
  backend_shard_ = backend->Shard(shard_.index);
  pool_load_ = pool_load;
  pool_load_->CountPick(shard_.index);
  backend_shard_->counters.CountPick(backend_->load.active.load(std::memory_order_relaxed));
  int error = OpenUdpUpstream(backend->address(), &upstream_);
  if ((error == EAGAIN || error == EADDRNOTAVAIL || error == EMFILE) &&
      listener_->EvictOldestUnanswered(this)) {
    error = OpenUdpUpstream(backend->address(), &upstream_);
  }
  if (error == 0) error = shard_.poller.Add(upstream_.get(), this, 0);
  if (error != 0) {
    shard_.faults.Count(error == EAGAIN ? EADDRNOTAVAIL : error, "opening a socket to a backend");
    failure_ = CloseReason::kLocalError;
    LeaveBackend();
    return false;
  }
  failure_ = CloseReason::kUnspecified;
  backend_shard_->sessions.PushBack(this);
  backend_shard_->counters.sessions.Add(1);
  return true;
}

// The backend's host says that nobody listens there.
void UdpSession::OnRefused() {
  refused_by_ = backend_;
  backend_shard_->counters.connect_errors.Add(1);
  backend_shard_->counters.retries.Add(1);
  ListenerCounters& listener = settings_->load->counters[shard_.index];
  listener.connect_errors.Add(1);
  listener.retries.Add(1);
  backend_->load.consecutive_failures.fetch_add(1, std::memory_order_relaxed);
  pool_load_->failures.fetch_add(1, std::memory_order_relaxed);
  LeaveBackend();
}

void UdpSession::OnBackendClosed(CloseReason reason) {
  backend_shard_->counters.closes[static_cast<size_t>(reason)].Add(1);
  LeaveBackend();
}

void UdpSession::LeaveBackend() {
  awaited_answers_ = 0;
  backend_hook.Unlink();
  upstream_.Reset();
  backend_shard_ = nullptr;
  pool_load_->CountLeave(shard_.index);
  Release(&std::exchange(backend_, nullptr)->load);
}

// ---- From the backend ----

void UdpSession::OnEvents(uint32_t events, unsigned) {
  if (backend_ == nullptr) return;
  if ((events & EPOLLERR) != 0) {
    if (TakeSocketError(upstream_.get()) == ECONNREFUSED) return OnRefused();
  }
  if ((events & EPOLLIN) != 0) ReceiveAnswers();
}

void UdpSession::OnContinue() {
  if (backend_ != nullptr) ReceiveAnswers();
}

void UdpSession::ReceiveAnswers() {
  UdpResources& udp = *shard_.udp;
  const UdpPolicy policy = settings_->listener.udp_policy;
  const bool relays = policy == UdpPolicy::kSession || policy == UdpPolicy::kRequestResponse;
  for (int call = 0;; ++call) {
    if (call == kCallsPerTurn) return shard_.poller.Continue(this);
    if (udp.answers.free() == 0) udp.FlushAnswers();
    const int first = udp.answers.used();
    const int wanted = std::min(kAnswersPerCall, udp.answers.free());
    const int received = udp.answers.Receive(upstream_.get(), /*connected=*/true, wanted);
    if (received < 0) {
      if (errno == ECONNREFUSED) return OnRefused();
      if (errno == EINTR) continue;
      return;
    }
    size_t bytes = 0;
    for (int slot = first; slot < first + received; ++slot) {
      bytes += udp.answers.data(slot).size();
      if (relays) udp.QueueAnswer(slot, listener_->fd(), peer_, key_.local);
    }
    active_ms_ = shard_.now_ms;
    awaited_answers_ -= std::min(awaited_answers_, static_cast<uint64_t>(received));
    const bool is_complete = awaited_answers_ == 0;
    is_answered_ = is_complete || policy != UdpPolicy::kRequestResponse;
    refused_by_ = nullptr;
    unanswered_hook.Unlink();
    if (backend_->load.consecutive_failures.load(std::memory_order_relaxed) != 0) {
      backend_->load.consecutive_failures.store(0, std::memory_order_relaxed);
    }
    if (relays) {
      ListenerCounters& counters = settings_->load->counters[shard_.index];
      counters.datagrams_out.Add(static_cast<uint64_t>(received));
      counters.bytes_out.Add(bytes);
      backend_shard_->counters.datagrams_out.Add(static_cast<uint64_t>(received));
      backend_shard_->counters.bytes_out.Add(bytes);
    }
    if (policy == UdpPolicy::kRequestResponse && is_complete) {
      return Close(CloseReason::kFinished);
    }
    // Fewer than asked for: the socket is drained, and the next datagram makes a new edge.
    if (received < wanted) return;
  }
}

void UdpSession::Close(CloseReason reason) {
  if (std::exchange(is_closed_, true)) return;
  shard_.timers.Cancel(this);
  unanswered_hook.Unlink();
  shard_hook.Unlink();
  listener_->Forget(this);
  const auto index = static_cast<size_t>(reason);
  ListenerLoad* const load = settings_->load;
  load->counters[shard_.index].closes[index].Add(1);
  if (backend_ != nullptr) {
    backend_shard_->counters.closes[index].Add(1);
    LeaveBackend();
  } else if (reason == failure_) {
    if (const PoolSnapshot* pool = shard_.FindPool(settings_->pool->id)) {
      pool->load()->counters[shard_.index].closes[index].Add(1);
    }
  }
  shard_.udp_admission.Leave();
  shard_.poller.Bury(this);
  // Last: the control thread may destroy it from here on.
  load->active.fetch_sub(1, std::memory_order_release);
}

}  // namespace sidelb
