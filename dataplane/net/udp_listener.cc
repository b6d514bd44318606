#include "dataplane/net/udp_listener.h"

#include <sys/epoll.h>

#include <array>
#include <cerrno>
#include <utility>
#include <vector>

#include "dataplane/net/socket_options.h"

namespace sidelb {
namespace {

constexpr int kBatchesPerTurn = 8;
constexpr int kClosingBatches = 256;
constexpr uint64_t kLingerMs = 100;  // between two looks

UdpKey KeyOf(const RawPeer& peer, const LocalAddress& local) {
  return {
      .client = Address::FromSockaddr(reinterpret_cast<const sockaddr*>(&peer.address), peer.size),
      .local = local};
}

}  // namespace

UdpListener::UdpListener(ShardContext& shard, UniqueFd socket, const ListenerSettings& settings,
                         ListenerLoad* load)
    : shard_(shard), socket_(std::move(socket)), settings_(SessionSettings::Make(settings, load)) {
  if (shard.udp == nullptr) shard.udp = std::make_unique<UdpResources>();
}

int UdpListener::Open() { return shard_.poller.Add(socket_.get(), this, 0, kWatchReads); }

void UdpListener::Update(const ListenerSettings& settings, ListenerLoad* load) {
  const bool had_limit = settings_->listener.max_sessions_per_client != 0;
  settings_ = settings_->Next(settings, load);
  const bool has_limit = settings_->listener.max_sessions_per_client != 0;
  if (had_limit != has_limit) CountClients();
}

// Nobody is counted while there is no limit.
void UdpListener::CountClients() {
  per_client_.clear();
  if (settings_->listener.max_sessions_per_client == 0) return;
  for (const auto& [key, session] : sessions_) ++per_client_[key.client.WithPort(0)];
}

// What came before now; under a flood the queue never empties.
void UdpListener::ReceiveQueued() {
  for (int batch = 0; batch < kClosingBatches && ReceiveSome(); ++batch) {
  }
}

bool UdpListener::Linger() {
  ReceiveQueued();
  is_lingering_ = true;
  std::vector<UdpSession*> sessions;
  sessions.reserve(sessions_.size());
  for (const auto& [key, session] : sessions_) sessions.push_back(session);
  for (UdpSession* session : sessions) session->OnTimer();
  if (settings_->load->active.load(std::memory_order_relaxed) == 0) return false;
  shard_.timers.Schedule(this, shard_.now_ms + kLingerMs);
  return true;
}

// Lingers until the sessions of all shards have ended: if one closed its socket before, the kernel
// would spread the clients over the others anew.
void UdpListener::OnTimer() {
  if (settings_->load->active.load(std::memory_order_relaxed) != 0) {
    return shard_.timers.Schedule(this, shard_.now_ms + kLingerMs);
  }
  shard_.udp->FlushAnswers();
  socket_.Reset();
}

void UdpListener::Close() {
  if (!is_lingering_) ReceiveQueued();
  shard_.timers.Cancel(this);
  shard_.udp->FlushAnswers();
  while (!sessions_.empty()) sessions_.begin()->second->Close(CloseReason::kFinished);
  socket_.Reset();
  shard_.poller.Bury(this);
}

void UdpListener::OnEvents(uint32_t, unsigned) { OnContinue(); }

void UdpListener::OnContinue() {
  for (int i = 0; i < kBatchesPerTurn; ++i) {
    if (!ReceiveSome()) return;
  }
  shard_.poller.Continue(this);
}

// One batch; false when the socket is drained.
bool UdpListener::ReceiveSome() {
  UdpBatch& requests = shard_.udp->requests;
  requests.Clear();
  const int received = requests.Receive(socket_.get());
  if (received < 0) return errno == EINTR || errno == ECONNREFUSED;
  ForwardBatch(received);
  return received == UdpBatch::kSlots;
}

// Sends the batch on, the datagrams of one session together and in their order.
void UdpListener::ForwardBatch(int count) {
  UdpResources& udp = *shard_.udp;
  std::array<UdpSession*, UdpBatch::kSlots> sessions;
  for (int slot = 0; slot < count; ++slot) {
    sessions[slot] = FindOrBegin(slot, slot == 0 ? nullptr : sessions[slot - 1]);
    if (sessions[slot] == nullptr) {
      settings_->load->counters[shard_.index].datagrams_dropped.Add(
          udp.requests.train(slot).count());
    }
  }
  for (int slot = 0; slot < count; ++slot) {
    UdpSession* const session = sessions[slot];
    if (session == nullptr) continue;
    for (int other = slot; other < count; ++other) {
      if (sessions[other] != session) continue;
      sessions[other] = nullptr;
      // Evicted for a later datagram of this batch: what its own listener counted may be gone.
      if (session->is_closed()) {
        CountDropped(udp.requests.train(other).count());
      } else if (session->is_per_packet()) {
        ForwardEach(session, udp.requests.train(other));
      } else {
        udp.to_backend.Add(udp.requests.train(other), nullptr, {}, session->backend_segment());
      }
    }
    if (udp.to_backend.size() > 0) session->Forward();
  }
}

// Each datagram of the train picks a backend.
void UdpListener::ForwardEach(UdpSession* session, Train train) {
  UdpSender& sender = shard_.udp->to_backend;
  do {
    const std::string_view datagram = train.front();
    sender.Add({.data = datagram, .segment = datagram.size()}, nullptr, {}, 0);
    session->Forward();
    train.data.remove_prefix(datagram.size());
  } while (!train.data.empty());
}

// The session of the datagrams in `slot`; `last` is that of the slot before.
UdpSession* UdpListener::FindOrBegin(int slot, UdpSession* last) {
  const UdpBatch& requests = shard_.udp->requests;
  const RawPeer& peer = requests.peer(slot);
  // Datagrams of one client often come in a row.
  if (last != nullptr && peer == requests.peer(slot - 1) &&
      requests.local(slot) == requests.local(slot - 1)) {
    return last;
  }
  const UdpKey key = KeyOf(peer, requests.local(slot));
  const auto found = sessions_.find(key);
  if (found != sessions_.end()) return found->second;
  return is_lingering_ ? nullptr : Begin(key, peer);
}

void UdpListener::CountDropped(size_t datagrams) {
  settings_->load->counters[shard_.index].datagrams_dropped.Add(datagrams);
}

void UdpListener::LimitSegments(const RawPeer& peer, const LocalAddress& local, uint16_t largest) {
  const auto found = sessions_.find(KeyOf(peer, local));
  if (found != sessions_.end()) found->second->LimitClientSegments(largest);
}

UdpSession* UdpListener::Begin(const UdpKey& key, const RawPeer& peer) {
  ListenerLoad& load = *settings_->load;
  ListenerCounters& counters = load.counters[shard_.index];
  counters.accepted.Add(1);
  const auto refuse = [&](CloseReason reason) {
    counters.closes[static_cast<size_t>(reason)].Add(1);
    return nullptr;
  };
  const uint32_t per_client = settings_->listener.max_sessions_per_client;
  if (per_client != 0) {
    const auto found = per_client_.find(key.client.WithPort(0));
    if (found != per_client_.end() && found->second >= per_client) {
      return refuse(CloseReason::kClientLimit);
    }
  }
  const uint32_t limit = settings_->listener.max_connections;
  if (limit != 0 && load.active.load(std::memory_order_relaxed) >= limit &&
      !EvictOldestUnanswered(nullptr)) {
    return refuse(CloseReason::kListenerLimit);
  }
  if (!shard_.udp_admission.TryEnter() &&
      !(EvictOldestUnanswered(nullptr) && shard_.udp_admission.TryEnter())) {
    return refuse(CloseReason::kListenerLimit);
  }
  counters.peak_active.Raise(load.active.fetch_add(1, std::memory_order_relaxed) + 1);
  auto* session = new UdpSession(shard_, *this, settings_, key, peer);
  sessions_[key] = session;
  if (per_client != 0) ++per_client_[key.client.WithPort(0)];
  unanswered_.PushBack(session);
  return session;
}

void UdpListener::Forget(UdpSession* session) {
  sessions_.erase(session->key());
  if (per_client_.empty()) return;
  const auto found = per_client_.find(session->key().client.WithPort(0));
  if (found != per_client_.end() && --found->second == 0) per_client_.erase(found);
}

bool UdpListener::EvictOldestUnanswered(const UdpSession* except) {
  UdpSession* oldest = unanswered_.front();
  if (oldest != nullptr && oldest == except) oldest = unanswered_.Next(oldest);
  if (oldest == nullptr) return false;
  oldest->Close(CloseReason::kEvicted);
  return true;
}

}  // namespace sidelb
