#include "server/control/event_tracker.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "server/control/config_digest.h"
#include "server/control/state_view.h"

namespace sidelb::control {
namespace {

constexpr absl::Duration kSecond = absl::Seconds(1);

bool IsLeaving(BackendState state) {
  return state == BackendState::kDraining || state == BackendState::kDisabled ||
         state == BackendState::kRemoving;
}

// Being full comes and goes with each session: a counter.
IneligibleReason Lasting(IneligibleReason reason) {
  return reason == IneligibleReason::kFull ? IneligibleReason::kNone : reason;
}

bool SaysTheSame(const ListenerStatus& a, const ListenerStatus& b) {
  return a.is_bound == b.is_bound && a.error == b.error && a.bound_address == b.bound_address;
}

bool SaysTheSame(const PoolStatus& a, const PoolStatus& b) {
  return a.total == b.total && a.serving == b.serving && a.draining == b.draining &&
         a.unhealthy == b.unhealthy && a.disabled == b.disabled && a.is_in_panic == b.is_in_panic &&
         a.active_priority == b.active_priority;
}

template <typename Object>
uint64_t DigestOrZero(const Object* object) {
  return object == nullptr ? 0 : DigestOf(*object);
}

}  // namespace

size_t EventTracker::object_count() const {
  return listeners_.size() + pools_.size() + backend_count_;
}

absl::Time EventTracker::next_look() const {
  return held_back_.empty() ? absl::InfiniteFuture() : held_back_.front().until;
}

void EventTracker::Record(const DesiredState& desired, LiveState& live, const std::string& actor,
                          absl::Time now) {
  Touched touched =
      live.TakeTouched(actor.empty() ? LiveState::Touch::kSettled : LiveState::Touch::kAll);
  while (!held_back_.empty() && held_back_.front().until <= now) {
    if (ToldBackend* told = FindTold(held_back_.front().key)) told->is_held_back = false;
    touched.backends.push_back(std::move(held_back_.front().key));
    held_back_.pop_front();
  }
  for (const std::string& name : touched.listeners) LookAtListener(desired, live, name);
  for (const std::string& name : touched.whole_pools) {
    const auto pool = live.pools().find(name);
    if (pool == live.pools().end()) continue;
    for (const auto& [address, backend] : pool->second.backends) {
      touched.backends.emplace_back(name, address);
    }
    touched.pools.insert(name);
  }
  for (const BackendKey& key : touched.backends) {
    LookAtBackend(desired, live, key, now);
    touched.pools.insert(key.first);
  }
  for (const std::string& name : touched.pools) LookAtPool(desired, live, name);
  // A pool is there before its backends, and goes after them.
  std::vector<Event> events = std::exchange(pools_put_, {});
  for (std::vector<Event>* more : {&events_, &pools_removed_, &leases_}) {
    std::move(more->begin(), more->end(), std::back_inserter(events));
    more->clear();
  }
  if (events.empty()) return;
  log_->Append(
      {.events = std::move(events), .revision = desired.revision, .actor = actor, .time = now},
      object_count());
}

void EventTracker::NoteLease(std::optional<Lease> before, std::optional<Lease> after) {
  const auto share = [](std::optional<Lease> lease) -> std::shared_ptr<const Lease> {
    return lease.has_value() ? std::make_shared<const Lease>(*std::move(lease)) : nullptr;
  };
  leases_.push_back(
      {.what = LeaseEvent{.before = share(std::move(before)), .after = share(std::move(after))}});
}

void EventTracker::LookAtListener(const DesiredState& desired, const LiveState& live,
                                  const std::string& name) {
  const auto found = desired.listeners.find(name);
  std::shared_ptr<const ListenerObject> object;
  ListenerStatus status;
  if (found != desired.listeners.end()) {
    object = found->second;
    status = StatusOf(live.FindListener(name));
  }
  ToldListener& told = listeners_[name];
  if (told.object != object || !SaysTheSame(told.status, status)) {
    digest_ += DigestOrZero(object.get()) - DigestOrZero(told.object.get());
    events_.push_back({.what = ListenerEvent{.before = std::move(told.object),
                                             .after = {.object = object, .status = status}}});
  }
  if (object == nullptr) {
    listeners_.erase(name);
    return;
  }
  told.object = std::move(object);
  told.status = std::move(status);
}

EventTracker::ToldBackend* EventTracker::FindTold(const BackendKey& key) {
  const auto pool = pools_.find(key.first);
  if (pool == pools_.end()) return nullptr;
  const auto found = pool->second.backends.find(key.second);
  return found == pool->second.backends.end() ? nullptr : &found->second;
}

// Whether a change of status alone may be told now; else it is put off.
bool EventTracker::MayTell(const BackendKey& key, const BackendStatus& status, ToldBackend* told,
                           absl::Time now) {
  const bool has_changed = told->state != status.state || told->health != status.health ||
                           told->reason != status.reason ||
                           told->ineligible_reason != Lasting(status.ineligible_reason) ||
                           told->drain_deadline != status.drain_deadline ||
                           told->ejected_until != status.ejected_until;
  const bool has_moved = IsLeaving(status.state) && told->active != status.active_connections;
  if (!has_changed && !has_moved) return false;
  if (now - told->second >= kSecond) {
    told->second = now;
    told->in_second = 0;
  }
  const uint32_t most = has_changed ? kMaxEventsPerSecond : 1;
  if (told->in_second < most) return true;
  if (!told->is_held_back) {
    told->is_held_back = true;
    const HeldBack held{.until = told->second + kSecond, .key = key};
    held_back_.insert(
        std::upper_bound(held_back_.begin(), held_back_.end(), held,
                         [](const HeldBack& a, const HeldBack& b) { return a.until < b.until; }),
        held);
  }
  return false;
}

void EventTracker::LookAtBackend(const DesiredState& desired, const LiveState& live,
                                 const BackendKey& key, absl::Time now) {
  const auto live_pool = live.pools().find(key.first);
  const LiveBackend* live_backend = live.FindBackend(key);
  const auto object = live_backend == nullptr
                          ? nullptr
                          : ObjectOf(desired.FindPool(key.first), key.second, *live_backend);
  ToldPool& told_pool = pools_[key.first];
  const auto found = told_pool.backends.find(key.second);
  if (object == nullptr) {
    if (found == told_pool.backends.end()) return;
    ToldBackend& told = found->second;
    digest_ -= DigestOrZero(told.object.get());
    CountBackend(told.state, -1, &told_pool.counts);
    events_.push_back(
        {.what = BackendEvent{
             .before = std::move(told.object), .state_before = told.state, .after = {}}});
    told_pool.backends.erase(found);
    --backend_count_;
    return;
  }
  BackendStatus status = StatusOf(*object, *live_backend, live_pool->second);
  const bool is_new = found == told_pool.backends.end();
  ToldBackend& told = is_new ? told_pool.backends[key.second] : found->second;
  const bool is_configured = told.object != object;
  if (!is_configured && !MayTell(key, status, &told, now)) return;
  if (is_new) {
    ++backend_count_;
  } else {
    CountBackend(told.state, -1, &told_pool.counts);
  }
  CountBackend(status.state, 1, &told_pool.counts);
  if (is_configured) {
    digest_ += DigestOf(*object) - DigestOrZero(told.object.get());
  } else {
    ++told.in_second;
  }
  BackendEvent event{.before = std::exchange(told.object, object), .state_before = told.state};
  told.state = status.state;
  told.health = status.health;
  told.reason = status.reason;
  told.ineligible_reason = Lasting(status.ineligible_reason);
  told.drain_deadline = status.drain_deadline;
  told.ejected_until = status.ejected_until;
  told.active = status.active_connections;
  event.after = {.object = object, .status = std::move(status)};
  events_.push_back({.what = std::move(event)});
}

void EventTracker::LookAtPool(const DesiredState& desired, const LiveState& live,
                              const std::string& name) {
  const DesiredPool* pool = desired.FindPool(name);
  std::shared_ptr<const PoolObject> object = pool == nullptr ? nullptr : pool->object;
  ToldPool& told = pools_[name];
  if (object == nullptr) {
    if (told.object != nullptr) {
      digest_ -= DigestOf(*told.object);
      pools_removed_.push_back({.what = PoolEvent{.before = std::move(told.object), .after = {}}});
      told.object = nullptr;
    }
    if (told.backends.empty()) pools_.erase(name);
    return;
  }
  PoolStatus status = told.counts;
  if (const auto live_pool = live.pools().find(name); live_pool != live.pools().end()) {
    FillServing(live_pool->second, &status);
  }
  if (told.object == object && SaysTheSame(told.status, status)) return;
  digest_ += DigestOf(*object) - DigestOrZero(told.object.get());
  told.status = status;
  pools_put_.push_back({.what = PoolEvent{.before = std::exchange(told.object, object),
                                          .after = {.object = object, .status = status}}});
}

}  // namespace sidelb::control
