#include "server/control/live_state.h"

#include <cerrno>
#include <utility>

#include "absl/time/time.h"
#include "dataplane/base/status.h"
#include "fmt/format.h"
#include "server/control/snapshot_builder.h"

namespace sidelb::control {

LivePool& LiveState::Pool(const std::string& name) {
  LivePool& pool = pools_[name];
  if (pool.load == nullptr) {
    pool.id = next_id_++;
    pool.load = std::make_unique<PoolLoad>(data_plane_.shard_count());
  }
  return pool;
}

const LiveListener* LiveState::FindListener(const std::string& name) const {
  const auto found = listeners_.find(name);
  return found == listeners_.end() ? nullptr : &found->second;
}

const LiveBackend* LiveState::FindBackend(const BackendKey& key) const {
  const auto pool = pools_.find(key.first);
  if (pool == pools_.end()) return nullptr;
  const auto found = pool->second.backends.find(key.second);
  return found == pool->second.backends.end() ? nullptr : &found->second;
}

// ---- Backends ----

std::vector<BackendKey> LiveState::Commit(const DesiredState& before, const Change& change,
                                          Openings openings, absl::Time now) {
  has_pending_ = true;
  std::vector<BackendKey> leaving;
  for (const std::string& name : change.pools) {
    dirty_pools_.insert(name);
    if (change.next.FindPool(name) != nullptr) Pool(name).removed_in_seq = 0;
  }
  for (const BackendKey& key : change.backends) {
    if (CommitBackend(before, change, key, now)) leaving.push_back(key);
  }
  // Takeovers first, so that nothing that is taken over is closed.
  std::set<ListenerId> taken;
  for (const auto& [name, opening] : openings) {
    if (opening.takes_over != 0) taken.insert(opening.takes_over);
  }
  for (bool takes_over : {true, false}) {
    for (const auto& [name, op] : change.listeners) {
      Opening& opening = openings[name];
      if ((opening.takes_over != 0) != takes_over) continue;
      CommitListener(name, change.next.FindListener(name), &opening, &taken);
    }
  }
  // Which pools are probed depends on the listeners that lead to them, too.
  std::set<std::string> probed = change.pools;
  for (const auto& [name, op] : change.listeners) {
    for (const DesiredState* state : {&before, &change.next}) {
      if (const ListenerObject* listener = state->FindListener(name)) {
        probed.insert(listener->spec.pool);
      }
    }
  }
  for (const std::string& name : probed) SyncProbes(change.next, name);
  return leaving;
}

// True when the change removed, drained or disabled it.
bool LiveState::CommitBackend(const DesiredState& before, const Change& change,
                              const BackendKey& key, absl::Time now) {
  const BackendObject* old_object = before.FindBackend(key.first, key.second);
  const BackendObject* object = change.next.FindBackend(key.first, key.second);
  LivePool& pool = Pool(key.first);
  LiveBackend& live = pool.backends[key.second];
  if (live.backend == nullptr) {
    live.backend = std::make_shared<Backend>(key.second, data_plane_.shard_count());
    live.state_change_time = now;
  }
  const auto set_deadline = [&](const DrainSpec& drain) {
    live.on_deadline = drain.on_timeout.value_or(DrainAction::kReset);
    live.drain_deadline.reset();
    if (drain.timeout.has_value()) live.drain_deadline = now + *drain.timeout;
  };
  if (object == nullptr) {
    if (old_object == nullptr) return false;  // it came and went within the batch
    auto gone = std::make_shared<BackendObject>(*old_object);
    gone->claims.clear();
    gone->revision = change.next.revision;
    live.removing = std::move(gone);
    live.removed_in_seq = 0;
    live.state_change_time = now;
    set_deadline(change.removals.at(key));
    backend_changes_.push_back({.backend = live.backend.get(), .repick_connecting = true});
    return true;
  }
  const bool was_removing = std::exchange(live.removing, nullptr) != nullptr;
  const AdminState state = EffectiveAdminState(object->effective);
  const bool had_state = old_object != nullptr && !was_removing;
  const AdminState old_state =
      had_state ? EffectiveAdminState(old_object->effective) : AdminState::kEnabled;
  // No drain and one without a timeout are the same: no deadline.
  const auto drain_of = [](const BackendObject& of) {
    return of.override.has_value() ? of.override->drain.value_or(DrainSpec{}) : DrainSpec{};
  };
  const DrainSpec drain = drain_of(*object);
  const DrainSpec old_drain = had_state ? drain_of(*old_object) : DrainSpec{};
  if (state != old_state || was_removing) live.state_change_time = now;
  switch (state) {
    case AdminState::kEnabled:
      live.drain_deadline.reset();
      return false;
    case AdminState::kDraining:
      if (old_state != state || old_drain != drain || was_removing) {
        set_deadline(drain);
      }
      if (old_state == state) return false;
      backend_changes_.push_back({.backend = live.backend.get(), .repick_connecting = true});
      return true;
    case AdminState::kDisabled:
      live.drain_deadline.reset();
      if (old_state == state) return false;
      backend_changes_.push_back({.backend = live.backend.get(),
                                  .repick_connecting = true,
                                  .close = CloseReason::kBackendDisabled});
      return true;
  }
  return false;
}

// ---- Publications ----

Publication LiveState::Take(uint64_t seq, const DesiredState& desired) {
  Publication publication;
  publication.seq = seq;
  publication.revision = desired.revision;
  for (const std::string& name : dirty_pools_) {
    LivePool& pool = Pool(name);
    const DesiredPool* wanted = desired.FindPool(name);
    std::shared_ptr<const PoolSnapshot> snapshot;
    if (wanted != nullptr) {
      snapshot = BuildSnapshot(pool.id, *wanted, pool.load.get(), [&](const Address& address) {
        const LiveBackend& live = pool.backends.at(address);
        return Observed{
            .backend = live.backend.get(), .health = live.health, .is_ejected = live.is_ejected};
      });
    }
    UpdateIndexBefore(pool, snapshot.get());
    if (snapshot != nullptr) {
      publication.pools.push_back(snapshot);
    } else {
      publication.removed_pools.push_back(pool.id);
      pool.removed_in_seq = seq;
    }
    pool.published = std::move(snapshot);
    pool.published_in_seq = seq;
    for (auto& [address, live] : pool.backends) {
      if (live.removing != nullptr && live.removed_in_seq == 0) live.removed_in_seq = seq;
    }
  }
  for (Retired& retired : retired_) {
    if (retired.seq == 0) retired.seq = seq;
  }
  publication.listeners = std::exchange(listener_changes_, {});
  publication.backends = std::exchange(backend_changes_, {});
  in_flight_pools_ = std::exchange(dirty_pools_, {});
  has_pending_ = false;
  return publication;
}

// Before a publication: who is not eligible in it leaves the index of live counts.
void LiveState::UpdateIndexBefore(LivePool& pool, const PoolSnapshot* next) {
  if (pool.load->index.size() == 0) return;
  std::set<const Backend*> eligible;
  if (next != nullptr && next->mode() == Mode::kLeastConnections) {
    for (const Member& member : next->eligible()) eligible.insert(member.backend);
  } else if (next != nullptr) {
    return;  // another mode: the index stays right until no shard uses it
  }
  for (auto& [address, live] : pool.backends) {
    if (!eligible.contains(live.backend.get())) pool.load->index.Remove(&live.backend->load);
  }
}

// After the acknowledgements: who is eligible on every shard joins it.
void LiveState::UpdateIndexAfter(LivePool& pool) {
  if (pool.published == nullptr || pool.published->mode() != Mode::kLeastConnections) {
    if (pool.load->index.size() == 0) return;
    for (auto& [address, live] : pool.backends) pool.load->index.Detach(&live.backend->load);
    return;
  }
  for (const Member& member : pool.published->eligible()) {
    pool.load->index.Put(&member.backend->load, member.weight, member.max_connections);
  }
}

void LiveState::OnAcknowledged(uint64_t seq, const std::vector<ListenError>& errors) {
  acknowledged_seq_ = seq;
  for (const std::string& name : std::exchange(in_flight_pools_, {})) {
    const auto found = pools_.find(name);
    if (found == pools_.end()) continue;
    UpdateIndexAfter(found->second);
    // A shard may be between reading that there is no index and raising the count.
    resync_pools_.insert(name);
  }
  for (const ListenError& error : errors) {
    for (auto& [name, listener] : listeners_) {
      if (listener.id != error.listener) continue;
      listener.error = fmt::format("cannot listen: {}", ErrnoName(error.error));
      // Shards that could listen stop too: half a listener would hide the fault.
      listener_changes_.push_back({.id = listener.id});
      has_pending_ = true;
    }
  }
}

// ---- Time ----

bool LiveState::Tick(absl::Time now, std::vector<BackendKey>* freed) {
  bool is_draining = false;
  for (const std::string& name : std::exchange(resync_pools_, {})) {
    const auto found = pools_.find(name);
    if (found != pools_.end()) found->second.load->index.Resync();
  }
  for (auto pool = pools_.begin(); pool != pools_.end();) {
    auto& backends = pool->second.backends;
    for (auto it = backends.begin(); it != backends.end();) {
      LiveBackend& live = it->second;
      if (live.drain_deadline.has_value() && now >= *live.drain_deadline) {
        live.drain_deadline.reset();
        if (live.on_deadline == DrainAction::kReset) {
          backend_changes_.push_back({.backend = live.backend.get(),
                                      .repick_connecting = true,
                                      .close = CloseReason::kDrainDeadline});
          has_pending_ = true;
        }
      }
      is_draining = is_draining || live.drain_deadline.has_value() || live.removing != nullptr;
      const bool is_gone = live.removing != nullptr && live.removed_in_seq != 0 &&
                           live.removed_in_seq <= acknowledged_seq_ &&
                           live.backend->load.active.load(std::memory_order_acquire) == 0;
      // A change that names it must have been published and acknowledged as well.
      if (is_gone && !has_pending_ && in_flight_pools_.empty()) {
        pool->second.load->index.Detach(&live.backend->load);
        StopProbing(live);
        freed->emplace_back(pool->first, it->first);
        it = backends.erase(it);
      } else {
        ++it;
      }
    }
    const LivePool& state = pool->second;
    const bool is_gone =
        backends.empty() && state.removed_in_seq != 0 && state.removed_in_seq <= acknowledged_seq_;
    pool = is_gone ? pools_.erase(pool) : std::next(pool);
  }
  std::erase_if(retired_, [&](const Retired& retired) {
    return retired.seq != 0 && retired.seq <= acknowledged_seq_ &&
           retired.load->active.load(std::memory_order_acquire) == 0;
  });
  return is_draining || !retired_.empty();
}

}  // namespace sidelb::control
