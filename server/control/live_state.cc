#include "server/control/live_state.h"

#include <algorithm>
#include <iterator>

#include "dataplane/base/status.h"
#include "fmt/format.h"
#include "spdlog/spdlog.h"

namespace sidelb::control {
namespace {

uint32_t ActiveOf(const LiveBackend& live) {
  return live.backend->load.active.load(std::memory_order_acquire);
}

// The drain of an override. None, and one without a timeout, are the same: no deadline.
DrainSpec DrainOf(const BackendObject& backend) {
  return backend.override.has_value() ? backend.override->drain.value_or(DrainSpec{}) : DrainSpec{};
}

}  // namespace

Totals TotalsOf(const LiveBackend& live) {
  Totals totals;
  totals.Add(*live.backend);
  if (live.probe_counters != nullptr) totals.Add(*live.probe_counters);
  return totals;
}

LiveState::~LiveState() = default;

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

// ---- Changes ----

void LiveState::Commit(const DesiredState& before, const Change& change, Openings openings,
                       absl::Time now) {
  has_pending_ = true;
  for (const auto& [name, op] : change.listeners) touched_.listeners.insert(name);
  touched_.pools.insert(change.pools.begin(), change.pools.end());
  touched_.backends.insert(touched_.backends.end(), change.backends.begin(), change.backends.end());
  for (const std::string& name : change.pools) {
    if (!IsSamePool(before, change.next, name)) dirty_pools_[name].is_whole = true;
    if (change.next.FindPool(name) != nullptr) Pool(name).removed_in_seq = 0;
  }
  for (const BackendKey& key : change.backends) {
    dirty_pools_[key.first].backends.push_back(key.second);
    CommitBackend(before, change, key, now);
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
      CommitListener(name, change.next.FindListener(name), &opening, taken);
    }
  }
  SyncProbes(before, change, now);
}

// The change of this backend that the next publication carries.
BackendChange& LiveState::PendingChange(const BackendKey& key, LiveBackend* live) {
  BackendChange& change = backend_changes_[key];
  change.backend = live->backend.get();
  return change;
}

void LiveState::StartDrain(const BackendKey& key, LiveBackend* live, const DrainSpec& drain,
                           absl::Time now) {
  draining_.insert(key);
  live->had_sessions = ActiveOf(*live) > 0;
  live->drain_deadline.reset();
  if (!drain.timeout.has_value() || drain.on_timeout == DrainAction::kKeep) return;
  if (*drain.timeout > absl::ZeroDuration()) {
    live->drain_deadline = now + *drain.timeout;
    next_deadline_ = std::min(next_deadline_, *live->drain_deadline);
  } else {
    PendingChange(key, live).close = CloseReason::kDrainDeadline;
  }
}

void LiveState::CommitRemoval(const BackendKey& key, const BackendObject& old_object,
                              const Change& change, absl::Time now) {
  LiveBackend& live = Pool(key.first).backends.at(key.second);
  auto gone = std::make_shared<BackendObject>(old_object);
  gone->claims.clear();
  gone->override.reset();
  gone->revision = change.next.revision;
  live.removing = std::move(gone);
  live.removed_in_seq = 0;
  live.state_change_time = now;
  PendingChange(key, &live).repick_connecting = true;
  StartDrain(key, &live, change.removals.at(key), now);
}

void LiveState::CommitBackend(const DesiredState& before, const Change& change,
                              const BackendKey& key, absl::Time now) {
  const BackendObject* old_object = before.FindBackend(key.first, key.second);
  const BackendObject* object = change.next.FindBackend(key.first, key.second);
  if (object == nullptr) {
    // Without an old one it came and went within the batch.
    if (old_object != nullptr) CommitRemoval(key, *old_object, change, now);
    return;
  }
  LiveBackend& live = Pool(key.first).backends[key.second];
  const bool is_new = live.backend == nullptr;
  if (is_new) live.backend = std::make_shared<Backend>(key.second, data_plane_.shard_count());
  live.removing.reset();  // back again: it meets its old counts
  const AdminState state = EffectiveAdminState(object->effective);
  const AdminState old_state =
      old_object == nullptr ? AdminState::kEnabled : EffectiveAdminState(old_object->effective);
  const bool is_forced =
      old_object != nullptr && EffectiveHealth(*old_object, live) != EffectiveHealth(*object, live);
  if (old_object == nullptr || state != old_state || is_forced) live.state_change_time = now;
  if (state == AdminState::kEnabled) {
    live.drain_deadline.reset();
    draining_.erase(key);
    if (EffectiveWeight(object->effective) == 0 && old_object != nullptr &&
        EffectiveWeight(old_object->effective) != 0) {
      PendingChange(key, &live).repick_connecting = true;
    }
    return;
  }
  if (is_new) return;  // it has no session
  if (old_object == nullptr || state != old_state) {
    PendingChange(key, &live).repick_connecting = true;
  }
  if (state == AdminState::kDisabled) {
    live.drain_deadline.reset();
    if (old_object == nullptr || old_state != state) {
      live.had_sessions = ActiveOf(live) > 0;
      draining_.insert(key);
      PendingChange(key, &live).close = CloseReason::kBackendDisabled;
    }
    return;
  }
  const DrainSpec drain = DrainOf(*object);
  if (old_object == nullptr || old_state != state || DrainOf(*old_object) != drain) {
    StartDrain(key, &live, drain, now);
  }
}

// ---- Publications ----

bool LiveState::has_pending_large() const {
  return std::any_of(dirty_pools_.begin(), dirty_pools_.end(), [this](const auto& dirty) {
    const auto pool = pools_.find(dirty.first);
    return pool != pools_.end() && pool->second.published != nullptr &&
           pool->second.published->is_large();
  });
}

LiveState::Taken LiveState::Take(uint64_t seq, const DesiredState& desired, absl::Time now) {
  Taken taken;
  Publication& publication = taken.publication;
  publication.seq = seq;
  publication.revision = desired.revision;
  for (auto& [name, dirty] : dirty_pools_) {
    LivePool& pool = Pool(name);
    const DesiredPool* wanted = desired.FindPool(name);
    std::shared_ptr<PoolSnapshot> snapshot;
    if (wanted != nullptr) {
      snapshot = BuildPool(name, *wanted, dirty, now);
      if (snapshot->is_large()) {
        taken.unfinished.push_back(snapshot);
      } else {
        snapshot->MakePicker();
      }
    } else {
      slow_starts_.erase(name);
    }
    UpdateIndexBefore(pool, snapshot.get(), dirty);
    if (snapshot != nullptr) {
      publication.pools.push_back(snapshot);
    } else {
      publication.removed_pools.push_back(pool.id);
      pool.removed_in_seq = seq;
      leaving_pools_.insert(name);
    }
    pool.published = std::move(snapshot);
  }
  for (const BackendKey& key : draining_) {
    LiveBackend& live = pools_.at(key.first).backends.at(key.second);
    if (live.removing != nullptr && live.removed_in_seq == 0) live.removed_in_seq = seq;
  }
  for (auto& [key, change] : backend_changes_) {
    pools_.at(key.first).backends.at(key.second).named_in_seq = seq;
    publication.backends.push_back(change);
  }
  backend_changes_.clear();
  for (Retired& retired : retired_) {
    if (retired.seq == 0) retired.seq = seq;
  }
  for (Closing& closing : closing_) {
    if (closing.seq == 0) closing.seq = seq;
  }
  publication.listeners = std::exchange(listener_changes_, {});
  in_flight_pools_ = std::exchange(dirty_pools_, {});
  has_pending_ = false;
  taken_seq_ = seq;
  taken_touched_.Add(std::exchange(touched_, {}));
  return taken;
}

void LiveState::OnAcknowledged(uint64_t seq, const std::vector<ListenError>& errors,
                               absl::Time now) {
  acknowledged_seq_ = seq;
  settled_touched_.Add(std::exchange(taken_touched_, {}));
  for (const auto& [name, dirty] : std::exchange(in_flight_pools_, {})) {
    const auto found = pools_.find(name);
    if (found != pools_.end()) UpdateIndexAfter(name, found->second, dirty);
  }
  std::erase_if(closing_, [&](const Closing& c) { return c.seq != 0 && c.seq <= seq; });
  for (const ListenError& error : errors) {
    for (auto& [name, listener] : listeners_) {
      if (listener.id != error.listener || !listener.error.empty()) continue;
      listener.error = fmt::format("{}; remove it and add it to try again",
                                   std::string(ErrnoToStatus(error.error, "listen").message()));
      listener.error_time = now;
      touched_.listeners.insert(name);
      // Shards that could listen stop too: half a listener would hide the fault.
      CloseSockets(listener.id, listener.bound_address);
    }
  }
}

void Touched::Add(Touched other) {
  listeners.merge(other.listeners);
  pools.merge(other.pools);
  whole_pools.merge(other.whole_pools);
  backends.insert(backends.end(), std::make_move_iterator(other.backends.begin()),
                  std::make_move_iterator(other.backends.end()));
}

Touched LiveState::TakeTouched(Touch what) {
  Touched touched = std::exchange(settled_touched_, {});
  const bool is_settled = !has_pending_ && taken_seq_ == acknowledged_seq_;
  if (what == Touch::kAll || is_settled) {
    touched.Add(std::exchange(taken_touched_, {}));
    touched.Add(std::exchange(touched_, {}));
  }
  return touched;
}

// ---- Time ----

// Whether no shard can reach it any more.
bool LiveState::IsFree(const BackendKey& key, const LiveBackend& live) const {
  return live.removing != nullptr && live.removed_in_seq != 0 &&
         live.removed_in_seq <= acknowledged_seq_ && live.named_in_seq <= acknowledged_seq_ &&
         !backend_changes_.contains(key) && ActiveOf(live) == 0;
}

LiveState::DrainEvents LiveState::Tick(absl::Time now) {
  DrainEvents events;
  next_deadline_ = absl::InfiniteFuture();
  for (const auto& [name, step] : slow_starts_) {
    if (step <= now) {
      dirty_pools_[name].is_whole = true;
      has_pending_ = true;
    } else {
      next_deadline_ = std::min(next_deadline_, step);
    }
  }
  for (auto it = draining_.begin(); it != draining_.end();) {
    const BackendKey& key = *it;
    LivePool& pool = pools_.at(key.first);
    LiveBackend& live = pool.backends.at(key.second);
    const uint32_t active = ActiveOf(live);
    touched_.backends.push_back(key);
    live.had_sessions = live.had_sessions || active > 0;
    // Until all shards use the change, more sessions may come.
    const bool is_settled =
        live.named_in_seq <= acknowledged_seq_ && !backend_changes_.contains(key);
    if (live.removing != nullptr ? IsFree(key, live) : is_settled && active == 0) {
      if (live.had_sessions) events.ended.push_back(key);
      live.drain_deadline.reset();
      if (live.removing != nullptr) {
        // Also waits for a shard that has just lowered the count and still holds the index's lock.
        pool.load->index.Detach(&live.backend->load);
        StopProbing(live);
        pool.gone += TotalsOf(live);
        pool.backends.erase(key.second);
      }
      it = draining_.erase(it);
      continue;
    }
    if (live.drain_deadline.has_value() && now >= *live.drain_deadline) {
      live.drain_deadline.reset();
      BackendChange& change = PendingChange(key, &live);
      change.repick_connecting = true;
      change.close = CloseReason::kDrainDeadline;
      has_pending_ = true;
      if (active > 0) events.resets.emplace_back(key, active);
    }
    next_deadline_ = std::min(next_deadline_, live.drain_deadline.value_or(next_deadline_));
    ++it;
  }
  std::erase_if(leaving_pools_, [&](const std::string& name) {
    const auto found = pools_.find(name);
    if (found == pools_.end() || found->second.removed_in_seq == 0) return true;  // it is back
    const LivePool& pool = found->second;
    if (!pool.backends.empty() || pool.removed_in_seq > acknowledged_seq_) return false;
    if (dirty_pools_.contains(name)) return false;
    pools_.erase(found);
    return true;
  });
  std::erase_if(retired_, [&](const Retired& retired) {
    return retired.seq != 0 && retired.seq <= acknowledged_seq_ &&
           retired.load->active.load(std::memory_order_acquire) == 0;
  });
  return events;
}

}  // namespace sidelb::control
