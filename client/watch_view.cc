#include "client/watch_view.h"

#include <charconv>

#include "fmt/format.h"

namespace sidelb::client {
namespace {

uint64_t DigestOfText(std::string_view kind, std::string_view pool, std::string_view key,
                      uint64_t revision) {
  return Fnv1a64(fmt::format("{}/{}/{}@{}", kind, pool, key, revision));
}

// Puts `object` under `key` and returns the one that stood there.
template <typename Map, typename Object>
std::optional<Object> Exchange(Map* map, const typename Map::key_type& key, Object object,
                               uint64_t* digest) {
  *digest += DigestOf(object);
  const auto [place, is_new] = map->try_emplace(key);
  std::optional<Object> before;
  if (!is_new) {
    before = std::move(place->second);
    *digest -= DigestOf(*before);
  }
  place->second = std::move(object);
  return before;
}

template <typename Map>
std::optional<typename Map::mapped_type> Take(Map* map, const typename Map::key_type& key,
                                              uint64_t* digest) {
  auto node = map->extract(key);
  if (node.empty()) return std::nullopt;
  *digest -= DigestOf(node.mapped());
  return std::move(node.mapped());
}

std::optional<pb::Event> AsEvent(std::optional<pb::Listener> listener) {
  if (!listener) return std::nullopt;
  pb::Event event;
  *event.mutable_listener() = *std::move(listener);
  return event;
}
std::optional<pb::Event> AsEvent(std::optional<pb::Pool> pool) {
  if (!pool) return std::nullopt;
  pb::Event event;
  *event.mutable_pool() = *std::move(pool);
  return event;
}
std::optional<pb::Event> AsEvent(std::optional<pb::Backend> backend) {
  if (!backend) return std::nullopt;
  pb::Event event;
  *event.mutable_backend() = *std::move(backend);
  return event;
}

}  // namespace

uint64_t Fnv1a64(std::string_view text) {
  uint64_t hash = 0xcbf29ce484222325;
  for (const char c : text) {
    hash ^= static_cast<unsigned char>(c);
    hash *= 0x100000001b3;
  }
  return hash;
}

uint64_t DigestOf(const pb::Listener& listener) {
  return DigestOfText("listener", "", listener.name(), listener.revision());
}

uint64_t DigestOf(const pb::Pool& pool) {
  return DigestOfText("pool", "", pool.name(), pool.revision());
}

uint64_t DigestOf(const pb::Backend& backend) {
  // The configuration view has no state; there the claims tell.
  const bool is_leaving =
      backend.claims().empty() || backend.status().state() == pb::BACKEND_STATE_REMOVING;
  if (is_leaving) return 0;
  return DigestOfText("backend", backend.pool(), backend.address(), backend.revision());
}

std::string ResumeToken::ToString() const { return fmt::format("{}/{}", epoch, position); }

std::optional<ResumeToken> ParseResumeToken(std::string_view text) {
  const size_t slash = text.rfind('/');
  if (slash == std::string_view::npos || slash == 0) return std::nullopt;
  ResumeToken token{std::string(text.substr(0, slash))};
  const char* const end = text.data() + text.size();
  const auto [parsed, error] = std::from_chars(text.data() + slash + 1, end, token.position);
  if (error != std::errc() || parsed != end) return std::nullopt;
  return token;
}

std::optional<pb::Event> WatchView::Objects::Put(pb::Event event) {
  switch (event.object_case()) {
    case pb::Event::kListener: {
      const std::string key = event.listener().name();
      return AsEvent(Exchange(&listeners, key, std::move(*event.mutable_listener()), &digest));
    }
    case pb::Event::kPool: {
      const std::string key = event.pool().name();
      return AsEvent(Exchange(&pools, key, std::move(*event.mutable_pool()), &digest));
    }
    case pb::Event::kBackend: {
      const BackendKey key(event.backend().pool(), event.backend().address());
      return AsEvent(Exchange(&backends, key, std::move(*event.mutable_backend()), &digest));
    }
    default:  // a lease, or what this build does not know
      return std::nullopt;
  }
}

std::optional<pb::Event> WatchView::Objects::Remove(const pb::Event& event) {
  switch (event.object_case()) {
    case pb::Event::kListener:
      return AsEvent(Take(&listeners, event.listener().name(), &digest));
    case pb::Event::kPool:
      return AsEvent(Take(&pools, event.pool().name(), &digest));
    case pb::Event::kBackend:
      return AsEvent(
          Take(&backends, BackendKey(event.backend().pool(), event.backend().address()), &digest));
    default:
      return std::nullopt;
  }
}

void WatchView::ApplySnapshot(const pb::Snapshot& snapshot) {
  if (!incoming_) incoming_ = Objects();
  for (const pb::Listener& listener : snapshot.state().listeners()) {
    pb::Event event;
    *event.mutable_listener() = listener;
    incoming_->Put(std::move(event));
  }
  for (const pb::Pool& pool : snapshot.state().pools()) {
    pb::Event event;
    *event.mutable_pool() = pool;
    incoming_->Put(std::move(event));
  }
  for (const pb::Backend& backend : snapshot.state().backends()) {
    pb::Event event;
    *event.mutable_backend() = backend;
    incoming_->Put(std::move(event));
  }
  if (!snapshot.last()) return;
  objects_ = *std::move(incoming_);
  incoming_.reset();
  is_complete_ = true;
  awaits_snapshot_ = false;
}

void WatchView::ExpectSnapshot() {
  incoming_.reset();
  is_complete_ = false;
  awaits_snapshot_ = true;
}

std::vector<WatchView::Change> WatchView::Apply(const pb::WatchResponse& message) {
  std::vector<Change> changes;
  epoch_ = message.epoch();
  position_ = message.position();
  revision_ = message.revision();
  if (message.has_snapshot()) ApplySnapshot(message.snapshot());
  if (message.has_resync()) ExpectSnapshot();
  for (const pb::Event& event : message.events().events()) {
    const bool is_removal = event.kind() == pb::EVENT_KIND_REMOVED;
    Change change{event, is_removal ? objects_.Remove(event) : objects_.Put(event)};
    change.is_new = !is_removal && !change.before && is_complete_;
    changes.push_back(std::move(change));
  }
  return changes;
}

std::optional<ResumeToken> WatchView::token() const {
  if (epoch_.empty() || incoming_ || awaits_snapshot_) return std::nullopt;
  return ResumeToken{epoch_, position_};
}

}  // namespace sidelb::client
