// The listeners' part of LiveState: who gets which sockets.
#include <algorithm>
#include <utility>

#include "fmt/format.h"
#include "server/control/errors.h"
#include "server/control/live_state.h"
#include "spdlog/spdlog.h"

namespace sidelb::control {
namespace {

bool WantsSockets(const ListenerObject* listener) {
  return listener != nullptr && !listener->spec.disabled;
}

bool HasSockets(const LiveListener& listener) { return listener.id != 0 && listener.error.empty(); }

bool HasSameProtocol(const ListenerSpec& a, const ListenerSpec& b) {
  return a.protocol.value_or(Protocol::kTcp) == b.protocol.value_or(Protocol::kTcp);
}

// Whether the sockets of `live` serve `wanted` as well. Port 0 takes the port that is there.
bool Fits(const LiveListener& live, const ListenerSpec& wanted) {
  return HasSockets(live) && HasSameProtocol(live.spec, wanted) &&
         (wanted.address == live.bound_address || wanted.address == live.bound_address.WithPort(0));
}

std::chrono::milliseconds Ms(const std::optional<absl::Duration>& duration,
                             std::chrono::milliseconds otherwise) {
  return duration.has_value() ? absl::ToChronoMilliseconds(*duration) : otherwise;
}

Transport TransportOf(const ListenerSpec& spec) {
  return spec.protocol == Protocol::kUdp ? Transport::kUdp : Transport::kTcp;
}

ListenerSettings Settings(const ListenerSpec& spec, PoolId pool) {
  ListenerSettings settings;
  settings.pool = pool;
  settings.max_connections = spec.max_connections;
  settings.connect_timeout = Ms(spec.connect_timeout, settings.connect_timeout);
  settings.connect_attempts = spec.connect_attempts.value_or(settings.connect_attempts);
  settings.idle_timeout = Ms(spec.idle_timeout, settings.idle_timeout);
  settings.half_close_timeout = Ms(spec.half_close_timeout, settings.half_close_timeout);
  settings.transport = TransportOf(spec);
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

// Decides for each listener of `change` where its sockets come from.
LiveState::ListenerPlans LiveState::PlanListeners(const Change& change) const {
  ListenerPlans plans;
  for (const auto& [name, op] : change.listeners) {
    const ListenerObject* wanted = change.next.FindListener(name);
    ListenerPlan& plan = plans[name];
    if (!WantsSockets(wanted)) continue;
    const LiveListener* live = FindListener(name);
    plan.source = live != nullptr && Fits(*live, wanted->spec) ? Source::kKeeps : Source::kBinds;
  }
  std::set<ListenerId> taken;
  for (auto& [name, plan] : plans) {
    const ListenerObject* wanted = change.next.FindListener(name);
    if (plan.source != Source::kBinds || wanted->spec.address.port() == 0) continue;
    for (const auto& [other_name, other] : listeners_) {
      if (!HasSockets(other) || !HasSameProtocol(other.spec, wanted->spec)) continue;
      if (other.bound_address != wanted->spec.address || taken.contains(other.id)) continue;
      // One that gives this address up in the same change hands its sockets over.
      const auto other_plan = plans.find(other_name);
      if (other_plan == plans.end() || other_plan->second.source == Source::kKeeps) {
        plan.holder = &other_name;
      } else {
        taken.insert(other.id);
        plan.source = Source::kTakesOver;
        plan.takes_over = other.id;
        plan.bound_address = other.bound_address;
      }
      break;
    }
  }
  return plans;
}

bool LiveState::MustWaitToBind(const Change& change) const {
  if (closing_.empty()) return false;
  for (const auto& [name, plan] : PlanListeners(change)) {
    if (plan.source != Source::kBinds) continue;
    const uint16_t port = change.next.FindListener(name)->spec.address.port();
    const bool closes = std::any_of(closing_.begin(), closing_.end(), [&](const Closing& closing) {
      return closing.bound_address.port() == port;
    });
    if (closes) return true;
  }
  return false;
}

absl::StatusOr<LiveState::Openings> LiveState::Bind(const Change& change) const {
  Openings openings;
  for (const auto& [name, plan] : PlanListeners(change)) {
    if (plan.source == Source::kTakesOver) {
      openings[name].takes_over = plan.takes_over;
      openings[name].sockets.bound_address = plan.bound_address;
    }
    if (plan.source != Source::kBinds) continue;
    const ListenerSpec& spec = change.next.FindListener(name)->spec;
    const Address& address = spec.address;
    absl::StatusOr<ListenerSockets> sockets = data_plane_.Bind(address, TransportOf(spec));
    if (sockets.ok()) {
      openings[name].sockets = *std::move(sockets);
      continue;
    }
    const std::string field = ListenerAddressPath(change, name);
    const std::string why =
        std::string(sockets.status().message()) + HolderHint(name, address, plan.holder);
    return MakeError(absl::StatusCode::kFailedPrecondition, fmt::format("{}: {}", field, why),
                     {.reason = "BIND_FAILED",
                      .metadata = {{"errno", ErrnoOf(sockets.status())}, {"listener", name}},
                      .violations = {{field, why}}});
  }
  return openings;
}

LiveState::Openings LiveState::BindStored(const DesiredState& stored, absl::Time now) {
  Openings openings;
  for (const auto& [name, object] : stored.listeners) {
    if (!WantsSockets(object.get())) continue;
    const ListenerSpec& spec = object->spec;
    absl::StatusOr<ListenerSockets> sockets = data_plane_.Bind(spec.address, TransportOf(spec));
    if (sockets.ok()) {
      openings[name].sockets = *std::move(sockets);
      continue;
    }
    LiveListener& live = listeners_[name];
    live.error = std::string(sockets.status().message());
    live.error_time = now;
    spdlog::error("listener {} on {}: {}; tried again until it can be had", name,
                  spec.address.ToString(), live.error);
  }
  return openings;
}

bool LiveState::RetryListeners(const DesiredState& desired) {
  bool is_one_left = false;
  for (auto& [name, live] : listeners_) {
    const ListenerObject* wanted = desired.FindListener(name);
    if (live.id != 0 || live.error.empty() || !WantsSockets(wanted)) continue;
    absl::StatusOr<ListenerSockets> sockets =
        data_plane_.Bind(wanted->spec.address, TransportOf(wanted->spec));
    if (!sockets.ok()) {
      live.error = std::string(sockets.status().message());
      is_one_left = true;
      continue;
    }
    Opening opening{.sockets = *std::move(sockets)};
    spdlog::info("listener {}: bound to {} at last", name,
                 opening.sockets.bound_address.ToString());
    CommitListener(name, wanted, &opening, {});
    touched_.listeners.insert(name);
    has_pending_ = true;
  }
  return is_one_left;
}

// "; listener 'a' listens on 0.0.0.0:80", when it is one of ours that holds the port.
std::string LiveState::HolderHint(const std::string& name, const Address& address,
                                  const std::string* holder) const {
  for (const auto& [other_name, other] : listeners_) {
    if (!HasSockets(other) || other.bound_address.port() != address.port()) continue;
    if (holder != nullptr && *holder != other_name) continue;
    const char* advice = holder == nullptr && other_name == name
                             ? ", which has to be removed by a change of its own first"
                             : "";
    return fmt::format("; listener '{}' listens on {}{}", other_name,
                       other.bound_address.ToString(), advice);
  }
  return "";
}

void LiveState::CloseSockets(ListenerId id, const Address& bound_address) {
  listener_changes_.push_back({.id = id});
  closing_.push_back({.bound_address = bound_address});
  has_pending_ = true;
}

void LiveState::CommitListener(const std::string& name, const ListenerObject* wanted,
                               Opening* opening, const std::set<ListenerId>& taken) {
  LiveListener& live = listeners_[name];
  if (live.load == nullptr) live.load = std::make_unique<ListenerLoad>(data_plane_.shard_count());
  const bool opens = opening->takes_over != 0 || !opening->sockets.sockets.empty();
  const bool wants = WantsSockets(wanted);
  // New sockets go by a new id, so that two listeners may swap theirs.
  if (HasSockets(live) && (opens || !wants) && !taken.contains(live.id)) {
    CloseSockets(live.id, live.bound_address);
  }
  if (wants && !opens && !HasSockets(live)) {
    live.spec = wanted->spec;  // see BindStored()
    return;
  }
  if (wants) {
    ListenerChange change{.id = opens ? next_id_++ : live.id,
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
    return;
  }
  live.id = 0;
  live.bound_address = Address();
  live.error.clear();
  if (wanted == nullptr) {
    if (live.lingers) {
      lingering_loads_.push_back(std::move(live.load));
    } else {
      retired_.push_back({.load = std::move(live.load)});
    }
    listeners_.erase(name);
  }
}

void LiveState::CloseListeners() {
  for (auto& [name, listener] : listeners_) {
    if (!HasSockets(listener)) continue;
    CloseSockets(std::exchange(listener.id, 0), listener.bound_address);
    listener_changes_.back().lingers = listener.lingers = true;
    listener.bound_address = Address();
  }
}

std::vector<std::pair<std::string, const LiveListener*>> LiveState::FailedListeners() const {
  std::vector<std::pair<std::string, const LiveListener*>> failed;
  for (const auto& [name, listener] : listeners_) {
    if (!listener.error.empty()) failed.emplace_back(name, &listener);
  }
  return failed;
}

}  // namespace sidelb::control
