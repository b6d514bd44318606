#include "tests/support/test_data_plane.h"

#include <poll.h>

#include <chrono>
#include <cstdlib>
#include <utility>

#include "tests/support/tcp.h"

namespace sidelb::testing {

TestDataPlane::TestDataPlane(size_t shards, uint64_t max_connections,
                             std::chrono::microseconds busy_poll)
    : work_(boost::asio::make_work_guard(io_)), shards_(shards) {
  auto started = DataPlane::Start(
      {.shards = shards,
       .max_connections = max_connections,
       .busy_poll = busy_poll,
       .control = io_.get_executor(),
       .on_applied = [this](uint64_t seq, uint64_t, std::vector<ListenError> errors) {
         std::lock_guard lock(mutex_);
         applied_seq_ = seq;
         errors_ = std::move(errors);
         applied_.notify_all();
       }});
  if (!started.ok()) std::abort();
  data_plane_ = *std::move(started);
  thread_ = std::thread([this] { io_.run(); });
}

TestDataPlane::~TestDataPlane() {
  data_plane_->Stop();
  work_.reset();
  thread_.join();
  data_plane_.reset();
  for (auto& [id, pool] : pools_) {
    for (auto& state : pool.backends) pool.load->index.Detach(&state->backend->load);
  }
}

void TestDataPlane::AddPool(PoolId pool, Mode mode) {
  pools_[pool] = {mode, std::make_unique<PoolLoad>(shards_), {}};
}

TestDataPlane::BackendState& TestDataPlane::AddBackend(PoolId pool, const Address& address) {
  auto& backends = pools_.at(pool).backends;
  auto state = std::make_unique<BackendState>();
  state->backend = std::make_unique<Backend>(address, shards_);
  backends.push_back(std::move(state));
  return *backends.back();
}

TestDataPlane::BackendState& TestDataPlane::backend(PoolId pool, const Address& address) {
  for (auto& state : pools_.at(pool).backends) {
    if (state->backend->address() == address) return *state;
  }
  std::abort();
}

void TestDataPlane::SetMode(PoolId pool, Mode mode) { pools_.at(pool).mode = mode; }

Address TestDataPlane::Listen(ListenerId id, const ListenerSettings& settings,
                              const Address& address) {
  auto sockets = data_plane_->Bind(address, settings.transport);
  if (!sockets.ok()) std::abort();
  const Address bound = sockets->bound_address;
  auto& load = listeners_[id];
  if (load == nullptr) load = std::make_unique<ListenerLoad>(shards_);
  ListenerChange change{.id = id, .settings = settings, .load = load.get()};
  change.sockets = *std::move(sockets);
  std::vector<ListenerChange> changes;
  changes.push_back(std::move(change));
  if (!Publish({}, std::move(changes)).empty()) std::abort();
  return bound;
}

void TestDataPlane::TakeOver(ListenerId id, ListenerId before, const ListenerSettings& settings) {
  auto& load = listeners_[id];
  load = std::make_unique<ListenerLoad>(shards_);
  std::vector<ListenerChange> changes;
  changes.push_back({.id = id, .settings = settings, .load = load.get(), .takes_over = before});
  if (!Publish({}, std::move(changes)).empty()) std::abort();
}

void TestDataPlane::Unlisten(ListenerId id, bool lingers) {
  std::vector<ListenerChange> changes;
  changes.push_back({.id = id, .lingers = lingers});
  Publish({}, std::move(changes));
}

std::vector<ListenError> TestDataPlane::Publish(std::vector<BackendChange> changes,
                                                std::vector<ListenerChange> listeners) {
  Publication publication;
  publication.seq = ++seq_;
  publication.revision = seq_;
  for (auto& [id, pool] : pools_) {
    std::vector<Member> members;
    for (auto& state : pool.backends) {
      const bool indexed = pool.mode == Mode::kLeastConnections && state->is_member &&
                           state->admin_state == AdminState::kEnabled && state->weight > 0;
      if (!indexed) pool.load->index.Detach(&state->backend->load);
      if (!state->is_member) continue;
      members.push_back({.address = state->backend->address(),
                         .weight = state->weight,
                         .backend = state->backend.get(),
                         .max_connections = state->max_connections,
                         .admin_state = state->admin_state});
    }
    publication.pools.push_back(
        PoolSnapshot::Build(id, pool.mode, std::move(members), pool.load.get()));
  }
  publication.backends = std::move(changes);
  publication.listeners = std::move(listeners);
  data_plane_->Publish(std::move(publication));
  std::unique_lock lock(mutex_);
  if (!applied_.wait_for(lock, std::chrono::seconds(kLimitSeconds),
                         [this] { return applied_seq_ == seq_; })) {
    std::abort();
  }
  for (auto& [id, pool] : pools_) {
    if (pool.mode != Mode::kLeastConnections) continue;
    for (auto& state : pool.backends) {
      if (!state->is_member || state->admin_state != AdminState::kEnabled) continue;
      pool.load->index.Put(&state->backend->load, state->weight, state->max_connections);
    }
    pool.load->index.Resync();
  }
  return std::move(errors_);
}

uint64_t TestDataPlane::closes(ListenerId id, CloseReason reason) const {
  uint64_t sum = 0;
  for (size_t i = 0; i < shards_; ++i) {
    sum += listeners_.at(id)->counters[i].closes[static_cast<size_t>(reason)].value();
  }
  return sum;
}

uint64_t TestDataPlane::Sum(const Backend& backend, const Counter BackendCounters::*counter) const {
  uint64_t sum = 0;
  for (size_t i = 0; i < shards_; ++i) {
    if (const BackendShard* shard = backend.FindShard(i)) sum += (shard->counters.*counter).value();
  }
  return sum;
}

bool TestDataPlane::WaitUntil(const std::function<bool()>& condition) {
  const auto limit = std::chrono::steady_clock::now() + std::chrono::seconds(kLimitSeconds);
  while (!condition()) {
    if (std::chrono::steady_clock::now() > limit) return false;
    poll(nullptr, 0, 1);
  }
  return true;
}

}  // namespace sidelb::testing
