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

// With fewer free slots than this the answers leave first.
constexpr int kLeastSlots = 8;
// What a session may receive before others have their turn.
constexpr int kSlotsPerTurn = 64;
constexpr size_t kBytesPerTurn = 256 * 1024;
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
  if (is_per_packet() && backend_ != nullptr) LeaveBackend();
  const auto on_refused = [this](const RawPeer&, const LocalAddress&, uint16_t largest) {
    backend_segment_ = largest;
  };
  int refused = 0;
  // It may have been evicted for another datagram of the same batch.
  while (!is_closed_ && sender.size() > 0) {
    if (backend_ == nullptr && !Connect()) break;
    const size_t queued = sender.size();
    const size_t bytes = sender.bytes();
    const int error = sender.Flush(upstream_.get(), on_refused);
    CountIn(queued - sender.size(), bytes - sender.bytes());
    if (error == 0) return;
    if (error == ECONNREFUSED) {
      // Of an earlier datagram; this one was not sent, and goes to another backend.
      OnRefused();
      if (++refused == kSendAttempts) break;
    } else if (error == EAGAIN || error == ENOBUFS) {
      break;  // the kernel's buffer is full: the rest is lost
    } else {
      shard_.faults.Count(error, "sending a datagram to a backend");
      // A datagram that is too large is lost alone. Another error may be an earlier datagram's;
      // when it stays, all share it.
      if (error != EMSGSIZE && ++refused == kSendAttempts) break;
      sender.DropFirst();
      counters.datagrams_dropped.Add(1);
    }
  }
  counters.datagrams_dropped.Add(sender.size());
  sender.Clear();
}

void UdpSession::CountIn(size_t datagrams, size_t bytes) {
  if (datagrams == 0) return;
  active_ms_ = shard_.now_ms;
  awaited_answers_ += datagrams;
  ListenerCounters& counters = settings_->load->counters[shard_.index];
  counters.datagrams_in.Add(datagrams);
  counters.bytes_in.Add(bytes);
  backend_shard_->counters.datagrams_in.Add(datagrams);
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
  if (error == 0) error = shard_.poller.Add(upstream_.get(), this, 0, kWatchReads);
  if (error != 0) {
    shard_.faults.Count(error == EAGAIN ? EADDRNOTAVAIL : error, "opening a socket to a backend");
    failure_ = CloseReason::kLocalError;
    LeaveBackend();
    return false;
  }
  failure_ = CloseReason::kUnspecified;
  has_gro_ = false;
  backend_segment_ = UdpSender::kAnySegment;  // another backend, another path
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
  int slots = 0;
  for (size_t turn_bytes = 0; slots < kSlotsPerTurn && turn_bytes < kBytesPerTurn;) {
    if (udp.answers.free() < kLeastSlots) udp.FlushAnswers();
    const int first = udp.answers.used();
    // The last answer ends the session.
    const bool is_last = policy == UdpPolicy::kRequestResponse && awaited_answers_ == 1;
    const int wanted = is_last ? 1 : udp.answers.free();
    const int received = udp.answers.Receive(upstream_.get(), wanted);
    if (received < 0) {
      if (errno == ECONNREFUSED) return OnRefused();
      if (errno == EINTR) continue;
      return;
    }
    size_t datagrams = 0;
    size_t bytes = 0;
    for (int slot = first; slot < first + received; ++slot) {
      const Train& train = udp.answers.train(slot);
      datagrams += train.count();
      bytes += train.data.size();
      if (relays) udp.QueueAnswer(slot, listener_, peer_, key_.local, client_segment_);
    }
    active_ms_ = shard_.now_ms;
    awaited_answers_ -= std::min<uint64_t>(awaited_answers_, datagrams);
    const bool is_complete = awaited_answers_ == 0;
    is_answered_ = is_complete || policy != UdpPolicy::kRequestResponse;
    refused_by_ = nullptr;
    unanswered_hook.Unlink();
    if (backend_->load.consecutive_failures.load(std::memory_order_relaxed) != 0) {
      backend_->load.consecutive_failures.store(0, std::memory_order_relaxed);
    }
    if (relays) CountAnswers(datagrams, bytes);
    if (policy == UdpPolicy::kRequestResponse && is_complete) {
      return Close(CloseReason::kFinished);
    }
    // Not before, for most sessions have one datagram at a time and would only pay for the call.
    if (received > 1 && !has_gro_) {
      SetUdpGro(upstream_.get());
      has_gro_ = true;
    }
    // Fewer than asked for: the socket is drained, and the next datagram makes a new edge.
    if (received < wanted) return;
    slots += received;
    turn_bytes += bytes;
  }
  shard_.poller.Continue(this);
}

void UdpSession::CountAnswers(size_t datagrams, size_t bytes) {
  ListenerCounters& counters = settings_->load->counters[shard_.index];
  counters.datagrams_out.Add(datagrams);
  counters.bytes_out.Add(bytes);
  backend_shard_->counters.datagrams_out.Add(datagrams);
  backend_shard_->counters.bytes_out.Add(bytes);
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
