#include "dataplane/runtime/shard.h"

#include <pthread.h>

#include <chrono>
#include <utility>

#include "fmt/format.h"

namespace sidelb {
namespace {

using Clock = std::chrono::steady_clock;

uint64_t SteadyMs() {
  return static_cast<uint64_t>(
      std::chrono::duration_cast<std::chrono::milliseconds>(Clock::now().time_since_epoch())
          .count());
}

}  // namespace

Shard::Shard(size_t index, PipeBudget& pipes, Admission& admission, Faults& faults)
    : work_(boost::asio::make_work_guard(io_)),
      poller_(
          io_, [this] { ReadClock(); }, [this] { MoveTimer(); }),
      timers_(SteadyMs()),
      context_(index, poller_, timers_, pipes, admission, faults),
      system_timer_(io_) {
  ReadClock();
}

Shard::~Shard() = default;

absl::Status Shard::Start() {
  if (absl::Status status = poller_.Start(); !status.ok()) return status;
  thread_ = std::thread([this] { Run(); });
  pthread_setname_np(thread_.native_handle(), fmt::format("slb-shard-{}", context_.index).c_str());
  return absl::OkStatus();
}

void Shard::Run() { io_.run(); }

void Shard::Stop(CloseReason reason) {
  if (!thread_.joinable()) return;
  boost::asio::post(io_, [this, reason] {
    ReadClock();
    EndAll(reason);
    system_timer_.cancel();
    poller_.Stop();
    work_.reset();
  });
  thread_.join();
}

void Shard::EndAll(CloseReason reason) {
  for (auto& [id, listener] : listeners_) listener->Close();
  listeners_.clear();
  while (ShardSession* session = context_.sessions.front()) {
    static_cast<TcpSession*>(session)->Abort(reason);
  }
  context_.pools.clear();
}

void Shard::ReadClock() { context_.now_ms = SteadyMs(); }

// ---- The timer wheel's place in the io_context ----

void Shard::MoveTimer() {
  const uint64_t earliest = timers_.TakeEarliestNewMs();
  if (earliest < armed_ms_) ArmTimer(earliest);
}

void Shard::ArmTimer(uint64_t deadline_ms) {
  armed_ms_ = deadline_ms;
  system_timer_.expires_at(Clock::time_point(std::chrono::milliseconds(deadline_ms)));
  system_timer_.async_wait([this](const boost::system::error_code& error) {
    if (!error) OnSystemTimer();
  });
}

void Shard::OnSystemTimer() {
  ReadClock();
  armed_ms_ = UINT64_MAX;
  timers_.Advance(context_.now_ms);
  timers_.TakeEarliestNewMs();
  if (const std::optional<uint64_t> next = timers_.NextWakeMs()) ArmTimer(*next);
}

// ---- Publications ----

void Shard::Apply(std::shared_ptr<Publication> publication, std::function<void(ShardAck)> done) {
  boost::asio::post(io_, [this, publication = std::move(publication), done = std::move(done)] {
    ReadClock();
    ShardAck ack = ApplyNow(*publication);
    MoveTimer();
    done(std::move(ack));
  });
}

ShardAck Shard::ApplyNow(Publication& publication) {
  ShardAck ack{.seq = publication.seq, .replaced = {}, .errors = {}};
  for (const std::shared_ptr<const PoolSnapshot>& snapshot : publication.pools) {
    std::shared_ptr<const PoolSnapshot>& slot = context_.pools[snapshot->id()];
    if (slot != nullptr) ack.replaced.push_back(std::move(slot));
    slot = snapshot;
  }
  for (ListenerChange& change : publication.listeners) ChangeListener(change, &ack);
  // After the pools, so that who picks again picks from the new ones.
  for (const BackendChange& change : publication.backends) ChangeBackend(change);
  for (PoolId id : publication.removed_pools) {
    const auto found = context_.pools.find(id);
    if (found == context_.pools.end()) continue;
    ack.replaced.push_back(std::move(found->second));
    context_.pools.erase(found);
  }
  return ack;
}

void Shard::ChangeListener(ListenerChange& change, ShardAck* ack) {
  if (!change.settings.has_value()) {
    if (auto gone = listeners_.extract(change.id)) gone.mapped()->Close();
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
  auto* listener = new TcpListener(context_, std::move(change.sockets.sockets[context_.index]),
                                   *change.settings, change.load);
  if (const int error = listener->Open(); error != 0) {
    ack->errors.push_back({.listener = change.id, .error = error});
    listener->Close();
    return;
  }
  if (found != listeners_.end()) found->second->Close();  // it has moved
  listeners_[change.id] = listener;
}

void Shard::ChangeBackend(const BackendChange& change) {
  if (change.backend->FindShard(context_.index) == nullptr) return;  // never used here
  BackendShard* const mine = change.backend->Shard(context_.index);
  if (change.repick_connecting || change.close.has_value()) {
    IntrusiveList<BackendSession, &BackendSession::backend_hook> connecting;
    connecting.TakeAll(&mine->connecting);
    while (BackendSession* session = connecting.PopFront()) {
      static_cast<TcpSession*>(session)->Repick();
    }
  }
  if (change.close.has_value()) {
    while (BackendSession* session = mine->sessions.front()) {
      static_cast<TcpSession*>(session)->Abort(*change.close);
    }
  }
}

}  // namespace sidelb
