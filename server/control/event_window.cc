#include "server/control/event_window.h"

#include <algorithm>
#include <optional>
#include <string>
#include <tuple>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "server/control/config_digest.h"

namespace sidelb::control {
namespace {

// The side of an event before or after it, as a view has it.
struct Side {
  bool is_there = false;  // selected and existing
  uint64_t revision = 0;
  uint64_t digest = 0;
};

template <typename Object, typename... State>
Side SideOf(const Object* object, const ObjectFilter& filter, State... state) {
  if (object == nullptr || !filter.Allows(*object, state...)) return {};
  return {.is_there = true, .revision = object->revision, .digest = DigestOf(*object)};
}

Side BackendSide(const BackendObject* object, BackendState state, const ObjectFilter& filter,
                 bool is_config_only) {
  if (object != nullptr && object->claims.empty() && is_config_only) return {};
  return SideOf(object, filter, state);
}

// Leases are no configuration: neither in its view nor in its digest.
Side LeaseSide(const Lease* lease, const ObjectFilter& filter, bool is_config_only) {
  return {.is_there = lease != nullptr && !is_config_only && filter.Allows(*lease)};
}

Side Before(const Event& event, const ObjectFilter& filter, bool is_config_only) {
  if (const auto* listener = std::get_if<ListenerEvent>(&event.what)) {
    return SideOf(listener->before.get(), filter);
  }
  if (const auto* pool = std::get_if<PoolEvent>(&event.what)) {
    return SideOf(pool->before.get(), filter);
  }
  if (const auto* lease = std::get_if<LeaseEvent>(&event.what)) {
    return LeaseSide(lease->before.get(), filter, is_config_only);
  }
  const auto& backend = std::get<BackendEvent>(event.what);
  return BackendSide(backend.before.get(), backend.state_before, filter, is_config_only);
}

Side After(const Event& event, const ObjectFilter& filter, bool is_config_only) {
  if (const auto* listener = std::get_if<ListenerEvent>(&event.what)) {
    return SideOf(listener->after.object.get(), filter);
  }
  if (const auto* pool = std::get_if<PoolEvent>(&event.what)) {
    return SideOf(pool->after.object.get(), filter);
  }
  if (const auto* lease = std::get_if<LeaseEvent>(&event.what)) {
    return LeaseSide(lease->after.get(), filter, is_config_only);
  }
  const auto& backend = std::get<BackendEvent>(event.what);
  return BackendSide(backend.after.object.get(), backend.after.status.state, filter,
                     is_config_only);
}

// Which object an event is of; the texts live in the batch.
using ObjectKey = std::tuple<size_t, std::string_view, Address>;

ObjectKey KeyOf(const Event& event) {
  const size_t kind = event.what.index();
  if (const auto* listener = std::get_if<ListenerEvent>(&event.what)) {
    const auto& object = listener->after.object ? listener->after.object : listener->before;
    return {kind, object->spec.name, Address()};
  }
  if (const auto* pool = std::get_if<PoolEvent>(&event.what)) {
    const auto& object = pool->after.object ? pool->after.object : pool->before;
    return {kind, object->spec.name, Address()};
  }
  if (const auto* lease = std::get_if<LeaseEvent>(&event.what)) {
    return {kind, (lease->after ? lease->after : lease->before)->owner, Address()};
  }
  const auto& backend = std::get<BackendEvent>(event.what);
  const auto& object = backend.after.object ? backend.after.object : backend.before;
  return {kind, object->pool, object->address};
}

struct Seen {
  const Event* last = nullptr;
  const EventBatch* batch = nullptr;  // of the last
  Side before;                        // the first
};

}  // namespace

EventWindow MakeWindow(const EventLog::Batches& batches, uint64_t position, uint64_t last_position,
                       const ObjectFilter& filter, bool is_config_only, size_t max_bytes,
                       absl::FunctionRef<size_t(const Event&)> size_of) {
  EventWindow window;
  absl::flat_hash_map<ObjectKey, Seen> objects;
  size_t bytes = 0;
  bool is_full = false;
  for (const auto& batch : batches) {
    if (batch->last_position() > last_position && window.end != 0) break;
    for (const Event& event : batch->events) {
      if (event.position <= position) continue;
      const bool is_sent = After(event, filter, is_config_only).is_there;
      const size_t size = is_sent ? size_of(event) : 0;
      is_full = window.end != 0 && bytes + size > max_bytes;
      if (is_full) {
        window.is_split = event.position != batch->events.front().position;
        break;
      }
      bytes += size;
      window.end = event.position;
      window.revision = batch->revision;
      window.time = batch->time;
      const auto [seen, is_new] = objects.try_emplace(KeyOf(event));
      if (is_new) seen->second.before = Before(event, filter, is_config_only);
      seen->second.last = &event;
      seen->second.batch = batch.get();
    }
    if (is_full) break;
  }
  bool is_of_one = true;
  for (const auto& [key, seen] : objects) {
    const Side after = After(*seen.last, filter, is_config_only);
    window.digest_change += after.digest - seen.before.digest;
    if (!after.is_there && !seen.before.is_there) continue;
    if (is_config_only && after.is_there == seen.before.is_there &&
        after.revision == seen.before.revision) {
      continue;
    }
    window.changes.push_back({.event = seen.last, .is_removed = !after.is_there});
    if (window.only == nullptr) window.only = seen.batch;
    is_of_one = is_of_one && window.only == seen.batch;
  }
  if (!is_of_one) window.only = nullptr;
  std::sort(window.changes.begin(), window.changes.end(),
            [](const WindowChange& a, const WindowChange& b) {
              return a.event->position < b.event->position;
            });
  return window;
}

}  // namespace sidelb::control
