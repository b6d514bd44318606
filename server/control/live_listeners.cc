// The listeners' part of LiveState: who gets which sockets.
#include <cerrno>
#include <utility>

#include "dataplane/base/status.h"
#include "fmt/format.h"
#include "server/control/errors.h"
#include "server/control/live_state.h"

namespace sidelb::control {
namespace {

bool WantsSockets(const ListenerObject* listener) {
  return listener != nullptr && !listener->spec.disabled;
}

bool HasSameEndpoint(const ListenerSpec& a, const ListenerSpec& b) {
  return a.address == b.address &&
         a.protocol.value_or(Protocol::kTcp) == b.protocol.value_or(Protocol::kTcp);
}

std::chrono::milliseconds Ms(const std::optional<absl::Duration>& duration,
                             std::chrono::milliseconds otherwise) {
  return duration.has_value() ? absl::ToChronoMilliseconds(*duration) : otherwise;
}

ListenerSettings Settings(const ListenerSpec& spec, PoolId pool) {
  ListenerSettings settings;
  settings.pool = pool;
  settings.max_connections = spec.max_connections;
  settings.connect_timeout = Ms(spec.connect_timeout, settings.connect_timeout);
  settings.connect_attempts = spec.connect_attempts.value_or(settings.connect_attempts);
  settings.idle_timeout = Ms(spec.idle_timeout, settings.idle_timeout);
  settings.half_close_timeout = Ms(spec.half_close_timeout, settings.half_close_timeout);
  settings.transport = spec.protocol == Protocol::kUdp ? Transport::kUdp : Transport::kTcp;
  settings.udp_policy = spec.udp_policy.value_or(settings.udp_policy);
  settings.udp_session_timeout = Ms(spec.udp_session_timeout, settings.udp_session_timeout);
  settings.udp_unanswered_timeout =
      Ms(spec.udp_unanswered_timeout, settings.udp_unanswered_timeout);
  settings.max_sessions_per_client = spec.max_sessions_per_client;
  if (spec.keepalive.has_value()) {
    const KeepaliveSpec& keepalive = *spec.keepalive;
    if (keepalive.idle) settings.keepalive_idle = absl::ToChronoSeconds(*keepalive.idle);
    if (keepalive.interval) {
      settings.keepalive_interval = absl::ToChronoSeconds(*keepalive.interval);
    }
    if (keepalive.count) settings.keepalive_count = *keepalive.count;
  }
  return settings;
}

// The errno behind a status of DataPlane::Bind(): its name stands in brackets at the end.
std::string ErrnoOf(const absl::Status& status) {
  const std::string message(status.message());
  const size_t open = message.rfind('(');
  return open == std::string::npos ? "" : message.substr(open + 1, message.size() - open - 2);
}

}  // namespace

absl::StatusOr<LiveState::Openings> LiveState::Bind(const Change& change) const {
  Openings openings;
  std::set<ListenerId> taken;
  for (const auto& [name, op] : change.listeners) {
    const ListenerObject* wanted = change.next.FindListener(name);
    if (!WantsSockets(wanted)) continue;
    const LiveListener* live = FindListener(name);
    if (live != nullptr && live->id != 0 && live->error.empty() &&
        HasSameEndpoint(live->spec, wanted->spec)) {
      continue;  // keeps its sockets
    }
    // Another one that gives this address up in the same change hands its sockets over.
    for (const auto& [other_name, other] : listeners_) {
      if (other.id == 0 || !other.error.empty()) continue;
      if (other_name == name || taken.contains(other.id)) continue;
      if (!HasSameEndpoint(other.spec, wanted->spec) || wanted->spec.address.port() == 0) continue;
      const ListenerObject* other_wanted = change.next.FindListener(other_name);
      const bool gives_up =
          !WantsSockets(other_wanted) || !HasSameEndpoint(other_wanted->spec, other.spec);
      if (!gives_up) continue;
      taken.insert(other.id);
      openings[name].takes_over = other.id;
      openings[name].sockets.bound_address = other.bound_address;
      break;
    }
    if (openings[name].takes_over != 0) continue;
    absl::StatusOr<ListenerSockets> sockets = data_plane_.Bind(
        wanted->spec.address,
        wanted->spec.protocol == Protocol::kUdp ? Transport::kUdp : Transport::kTcp);
    if (!sockets.ok()) {
      const std::string field = fmt::format("ops[{}].put_listener.address", op);
      return MakeError(absl::StatusCode::kFailedPrecondition,
                       fmt::format("{}: {}", field, std::string(sockets.status().message())),
                       {.reason = "BIND_FAILED",
                        .metadata = {{"errno", ErrnoOf(sockets.status())}, {"listener", name}},
                        .violations = {{field, std::string(sockets.status().message())}}});
    }
    openings[name].sockets = *std::move(sockets);
  }
  return openings;
}

void LiveState::CommitListener(const std::string& name, const ListenerObject* wanted,
                               Opening* opening, std::set<ListenerId>* taken) {
  LiveListener& live = listeners_[name];
  if (live.load == nullptr) live.load = std::make_unique<ListenerLoad>(data_plane_.shard_count());
  const ListenerId old_id = live.id;
  const bool opens = opening->takes_over != 0 || !opening->sockets.sockets.empty();
  const bool wants = WantsSockets(wanted);
  if (wants) {
    ListenerChange change{.id = opens ? next_id_++ : old_id,
                          .settings = Settings(wanted->spec, Pool(wanted->spec.pool).id),
                          .load = live.load.get()};
    if (opens) {
      live.bound_address = opening->sockets.bound_address;
      live.error.clear();
    }
    live.id = change.id;
    live.spec = wanted->spec;
    change.takes_over = opening->takes_over;
    change.sockets = std::move(opening->sockets);
    listener_changes_.push_back(std::move(change));
  } else {
    live.id = 0;
    live.bound_address = Address();
    live.error.clear();
  }
  if (old_id != 0 && old_id != live.id && !taken->contains(old_id)) {
    listener_changes_.push_back({.id = old_id});
  }
  if (wanted == nullptr) {
    retired_.push_back({.load = std::move(live.load)});
    listeners_.erase(name);
  }
}

void LiveState::CloseListeners() {
  for (auto& [name, listener] : listeners_) {
    if (listener.id == 0) continue;
    listener_changes_.push_back({.id = std::exchange(listener.id, 0)});
    has_pending_ = true;
  }
}

std::vector<std::pair<std::string, std::string>> LiveState::ListenerErrors() const {
  std::vector<std::pair<std::string, std::string>> errors;
  for (const auto& [name, listener] : listeners_) {
    if (!listener.error.empty()) errors.emplace_back(name, listener.error);
  }
  return errors;
}

}  // namespace sidelb::control
