// Short ways to write events in tests.
#pragma once

#include <memory>
#include <string>
#include <utility>

#include "server/control/event_log.h"
#include "tests/unit/control/batch_support.h"

namespace sidelb::control {

inline std::shared_ptr<const BackendObject> BackendAt(
    std::string_view address, uint64_t revision, const std::string& pool = "web",
    const std::map<std::string, std::string>& tags = {}) {
  auto object = std::make_shared<BackendObject>();
  object->pool = pool;
  object->address = At(address);
  object->revision = revision;
  object->effective = {.address = object->address, .tags = tags};
  object->claims.push_back({.owner = "api:test", .spec = object->effective, .revision = revision});
  return object;
}

inline std::shared_ptr<const BackendObject> WithoutClaims(const BackendObject& object) {
  auto copy = std::make_shared<BackendObject>(object);
  copy->claims.clear();
  return copy;
}

inline std::shared_ptr<const PoolObject> PoolAt(const std::string& name, uint64_t revision) {
  return std::make_shared<PoolObject>(PoolObject{.spec = {.name = name}, .revision = revision});
}

inline std::shared_ptr<const ListenerObject> ListenerAt(const std::string& name,
                                                        const std::string& pool,
                                                        uint64_t revision) {
  return std::make_shared<ListenerObject>(
      ListenerObject{.spec = {.name = name, .pool = pool}, .revision = revision});
}

// A backend that was `before` and is `after`; null = not there.
inline Event Became(std::shared_ptr<const BackendObject> before,
                    std::shared_ptr<const BackendObject> after,
                    BackendState state_before = BackendState::kServing,
                    BackendState state_after = BackendState::kServing) {
  BackendEvent event{.before = std::move(before), .state_before = state_before};
  event.after.object = std::move(after);
  event.after.status.state = state_after;
  return {.what = std::move(event)};
}
inline Event Became(std::shared_ptr<const PoolObject> before,
                    std::shared_ptr<const PoolObject> after) {
  return {.what = PoolEvent{.before = std::move(before), .after = {.object = std::move(after)}}};
}
inline Event Became(std::shared_ptr<const ListenerObject> before,
                    std::shared_ptr<const ListenerObject> after) {
  return {.what =
              ListenerEvent{.before = std::move(before), .after = {.object = std::move(after)}}};
}

inline EventBatch BatchOf(uint64_t revision, std::vector<Event> events, std::string actor = "") {
  return {.events = std::move(events), .revision = revision, .actor = std::move(actor)};
}

}  // namespace sidelb::control
