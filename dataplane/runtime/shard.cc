#include "dataplane/runtime/shard.h"

#include <future>
#include <memory>
#include <utility>

#include "dataplane/net/tcp_listener.h"
#include "dataplane/net/udp_listener.h"
#include "fmt/format.h"

namespace sidelb {

Shard::Shard(size_t index, PipeBudget& pipes, ShardLoads& loads, Admission& admission,
             Admission& udp_admission, Faults& faults)
    : context_(index, loop_.now_ms(), loop_.poller(), loop_.timers(), pipes, loads, admission,
               udp_admission, faults) {
  // What backends answered to all the sessions of a turn leaves together.
  loop_.SetAfterTurn([this] {
    if (context_.udp != nullptr) context_.udp->FlushAnswers();
  });
}

Shard::~Shard() = default;

absl::Status Shard::Start() { return loop_.Start(fmt::format("slb-shard-{}", context_.index)); }

void Shard::Stop(CloseReason reason) {
  loop_.Stop([this, reason] { EndAll(reason); });
}

void Shard::EndAll(CloseReason reason) {
  for (auto& [id, listener] : listeners_) listener->Close();
  listeners_.clear();
  while (ShardSession* session = context_.sessions.front()) {
    session->Abort(reason);
  }
  context_.pools.clear();
}

void Shard::WaitForPosted() {
  // Shared: it is still in use by the shard at the moment that wakes the waiter.
  const auto done = std::make_shared<std::promise<void>>();
  std::future<void> future = done->get_future();
  loop_.Post([done] { done->set_value(); });
  future.wait();
}

void Shard::Take(AcceptedConnection connection) {
  loop_.Post([this, connection = std::move(connection)]() mutable {
    TcpListener::Take(context_, std::move(connection));
  });
}

// ---- Publications ----

void Shard::Apply(std::shared_ptr<Publication> publication, std::function<void(ShardAck)> done) {
  loop_.Post([this, publication = std::move(publication), done = std::move(done)] {
    done(ApplyNow(*publication));
  });
}

ShardAck Shard::ApplyNow(Publication& publication) {
  ShardAck ack{.seq = publication.seq, .replaced = {}, .errors = {}};
  for (const std::shared_ptr<const PoolSnapshot>& snapshot : publication.pools) {
    std::shared_ptr<const PoolSnapshot>& slot = context_.pools[snapshot->id()];
    if (slot != nullptr) ack.replaced.push_back(std::move(slot));
    slot = snapshot;
  }
  for (PoolId id : publication.removed_pools) {
    const auto found = context_.pools.find(id);
    if (found == context_.pools.end()) continue;
    ack.replaced.push_back(std::move(found->second));
    context_.pools.erase(found);
  }
  for (ListenerChange& change : publication.listeners) ChangeListener(change, &ack);
  // After the pools and the listeners, so that who picks again picks from the new ones.
  for (const BackendChange& change : publication.backends) ChangeBackend(change);
  return ack;
}

void Shard::ChangeListener(ListenerChange& change, ShardAck* ack) {
  if (!change.settings.has_value()) {
    const auto found = listeners_.find(change.id);
    if (found == listeners_.end() || (change.lingers && found->second->Linger())) return;
    listeners_.extract(found).mapped()->Close();
    return;
  }
  if (change.takes_over != 0) {
    if (auto other = listeners_.extract(change.takes_over)) {
      other.mapped()->Update(*change.settings, change.load);
      listeners_[change.id] = other.mapped();
      return;
    }
  }
  const auto found = listeners_.find(change.id);
  if (change.sockets.sockets.empty()) {
    if (found != listeners_.end()) found->second->Update(*change.settings, change.load);
    return;
  }
  // Each shard takes the socket that is its own.
  ShardListener* const listener = MakeListener(change);
  if (const int error = listener->Open(); error != 0) {
    ack->errors.push_back({.listener = change.id, .error = error});
    listener->Close();
    return;
  }
  if (found != listeners_.end()) found->second->Close();  // it has moved
  listeners_[change.id] = listener;
}

ShardListener* Shard::MakeListener(ListenerChange& change) {
  UniqueFd socket = std::move(change.sockets.sockets[context_.index]);
  if (change.settings->transport == Transport::kUdp) {
    return new UdpListener(context_, std::move(socket), *change.settings, change.load);
  }
  return new TcpListener(context_, std::move(socket), *change.settings, change.load);
}

void Shard::ChangeBackend(const BackendChange& change) {
  if (change.backend->FindShard(context_.index) == nullptr) return;  // never used here
  BackendShard* const mine = change.backend->Shard(context_.index);
  if (change.repick_connecting || change.close.has_value()) {
    IntrusiveList<BackendSession, &BackendSession::backend_hook> connecting;
    connecting.TakeAll(&mine->connecting);
    while (BackendSession* session = connecting.PopFront()) {
      session->Repick();
    }
  }
  if (change.close.has_value()) {
    while (BackendSession* session = mine->sessions.front()) {
      session->OnBackendClosed(*change.close);
    }
  } else if (change.move_datagram_sessions) {
    IntrusiveList<BackendSession, &BackendSession::backend_hook> sessions;
    sessions.TakeAll(&mine->sessions);
    while (BackendSession* session = sessions.PopFront()) {
      if (session->can_move()) {
        session->OnBackendClosed(CloseReason::kBackendUnhealthy);
      } else {
        mine->sessions.PushBack(session);
      }
    }
  }
}

}  // namespace sidelb
