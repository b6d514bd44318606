// The part of LiveState that has to do with health: who is probed, what probes say, who is ejected.
#include <utility>

#include "fmt/format.h"
#include "server/control/live_state.h"
#include "spdlog/spdlog.h"

namespace sidelb::control {
namespace {

constexpr size_t kMaxLines = 20;  // of the log for one batch of reports

std::chrono::milliseconds Ms(const std::optional<absl::Duration>& duration,
                             std::chrono::milliseconds otherwise) {
  return duration.has_value() ? absl::ToChronoMilliseconds(*duration) : otherwise;
}

// The settings of a pool's probes; null when there are none. Unless the pool says otherwise, pools
// that a TCP listener leads to are probed by a connect.
std::shared_ptr<const ProbeSettings> MakeSettings(const DesiredState& desired,
                                                  const PoolSpec& pool) {
  const HealthCheckSpec spec = pool.health_check.value_or(HealthCheckSpec{});
  HealthCheckKind kind = HealthCheckKind::kNone;
  if (spec.kind.has_value()) {
    kind = *spec.kind;
  } else {
    for (const auto& [name, listener] : desired.listeners) {
      const bool is_tcp = listener->spec.protocol.value_or(Protocol::kTcp) == Protocol::kTcp;
      if (is_tcp && listener->spec.pool == pool.name) kind = HealthCheckKind::kTcpConnect;
    }
  }
  if (kind == HealthCheckKind::kNone) return nullptr;
  auto settings = std::make_shared<ProbeSettings>();
  settings->kind = kind == HealthCheckKind::kUdp          ? ProbeKind::kUdp
                   : kind == HealthCheckKind::kSendExpect ? ProbeKind::kSendExpect
                                                          : ProbeKind::kTcpConnect;
  settings->interval = Ms(spec.interval, settings->interval);
  settings->timeout = Ms(spec.timeout, settings->timeout);
  settings->rise = spec.rise.value_or(settings->rise);
  settings->fall = spec.fall.value_or(settings->fall);
  settings->send = spec.send;
  settings->expect = spec.expect;
  return settings;
}

bool AreEqual(const ProbeSettings* a, const ProbeSettings* b) {
  if (a == nullptr || b == nullptr) return a == b;
  return a->kind == b->kind && a->interval == b->interval && a->timeout == b->timeout &&
         a->rise == b->rise && a->fall == b->fall && a->send == b->send && a->expect == b->expect;
}

Address ProbeAddress(const BackendSpec& backend, const PoolSpec& pool) {
  Address address = backend.probe_address.value_or(backend.address);
  const uint32_t port = pool.health_check.has_value() ? pool.health_check->port : 0;
  return port == 0 ? address : address.WithPort(static_cast<uint16_t>(port));
}

OutlierSettings OutliersOf(const PoolSpec& pool) {
  OutlierSettings settings;
  if (pool.health_check.has_value()) {
    settings.failures = pool.health_check->passive_failures.value_or(settings.failures);
  }
  if (pool.ejection_time) {
    settings.ejection_ms = static_cast<uint64_t>(absl::ToInt64Milliseconds(*pool.ejection_time));
  }
  if (pool.max_ejection_time) {
    settings.max_ejection_ms =
        static_cast<uint64_t>(absl::ToInt64Milliseconds(*pool.max_ejection_time));
  }
  settings.max_ejected_percent = pool.max_ejection_percent.value_or(settings.max_ejected_percent);
  return settings;
}

}  // namespace

Health EffectiveHealth(const BackendObject& object, const LiveBackend& live) {
  if (!object.override.has_value() || !object.override->health.has_value()) return live.health;
  return *object.override->health == HealthOverride::kForceHealthy ? Health::kHealthy
                                                                   : Health::kUnhealthy;
}

HealthReason ReasonOf(const BackendObject& object, const LiveBackend& live) {
  if (object.override.has_value() && object.override->health.has_value()) {
    return HealthReason::kOverride;
  }
  if (live.is_ejected) return HealthReason::kPassive;
  // Not sick, but taken out by its owner, or because its owner is silent.
  if (live.health != Health::kUnhealthy && !object.claims.empty() &&
      EffectiveAdminState(object.effective) != AdminState::kEnabled &&
      !(object.override.has_value() && object.override->admin_state.has_value())) {
    return object.claims.front().lease_drains ? HealthReason::kOwnerExpired
                                              : HealthReason::kOwnerDrain;
  }
  if (live.probe_id == 0) return HealthReason::kNotChecked;
  if (!live.report.has_value()) return HealthReason::kInitial;
  switch (live.report->reason) {
    case ProbeReason::kOk:
      return HealthReason::kOk;
    case ProbeReason::kRefused:
      return HealthReason::kRefused;
    case ProbeReason::kTimeout:
      return HealthReason::kTimeout;
    case ProbeReason::kUnreachable:
      return HealthReason::kUnreachable;
    case ProbeReason::kBadResponse:
      return HealthReason::kBadResponse;
    case ProbeReason::kNoReply:
      return HealthReason::kNoReply;
    case ProbeReason::kLocal:
      return HealthReason::kInternal;
  }
  return HealthReason::kInternal;
}

void LiveState::StopProbing(LiveBackend& live) {
  if (live.probe_id == 0) return;
  probes_to_remove_.push_back(live.probe_id);
  probe_keys_.erase(live.probe_id);
  live.probe_id = 0;
  live.probe.reset();
  live.report.reset();
  live.health = Health::kUnknown;
}

// Makes the probes of a pool follow its configuration and its backends.
void LiveState::SyncProbes(const DesiredState& desired, const std::string& name) {
  const auto found = pools_.find(name);
  if (found == pools_.end()) return;
  LivePool& pool = found->second;
  const DesiredPool* wanted = desired.FindPool(name);
  std::shared_ptr<const ProbeSettings> settings =
      wanted == nullptr ? nullptr : MakeSettings(desired, wanted->object->spec);
  if (!AreEqual(settings.get(), pool.probe.get())) {
    pool.probe = std::move(settings);
    dirty_pools_.insert(name);  // health may be forgotten
    touched_.whole_pools.insert(name);
    has_pending_ = true;
  }
  for (auto& [address, live] : pool.backends) {
    const BackendObject* object = desired.FindBackend(name, address);
    const bool is_probed = pool.probe != nullptr && object != nullptr &&
                           EffectiveAdminState(object->effective) != AdminState::kDisabled;
    if (!is_probed) {
      StopProbing(live);
      continue;
    }
    const Address probed = ProbeAddress(object->effective, wanted->object->spec);
    if (live.probe_id != 0 && live.probe == pool.probe && live.probed == probed) continue;
    if (live.probe_id == 0) live.probe_id = next_id_++;
    if (live.probe_counters == nullptr) live.probe_counters = std::make_shared<ProbeCounters>();
    if (!(live.probed == probed)) {
      live.health = Health::kUnknown;
      live.report.reset();
    }
    live.probe = pool.probe;
    live.probed = probed;
    probe_keys_[live.probe_id] = {name, address};
    probes_to_put_.push_back({.id = live.probe_id,
                              .address = probed,
                              .backend = live.backend,
                              .settings = pool.probe,
                              .counters = live.probe_counters});
  }
}

void LiveState::OnReports(const DesiredState& desired, std::vector<HealthReport> reports,
                          absl::Time now) {
  size_t changes = 0;
  for (HealthReport& report : reports) {
    const auto key = probe_keys_.find(report.id);
    if (key == probe_keys_.end()) continue;  // it is not probed any more
    LiveBackend& live = pools_.at(key->second.first).backends.at(key->second.second);
    const Health before = std::exchange(live.health, report.health);
    live.report = std::move(report);
    touched_.backends.push_back(key->second);
    if (before == live.health) continue;
    live.state_change_time = now;
    dirty_pools_.insert(key->second.first);
    has_pending_ = true;
    const std::string name = fmt::format("{}/{}", key->second.first, key->second.second.ToString());
    if (live.health == Health::kUnhealthy) {
      const DesiredPool* pool = desired.FindPool(key->second.first);
      BackendChange& change = PendingChange(key->second, &live);
      change.move_datagram_sessions = true;
      if (pool != nullptr && pool->object->spec.on_unhealthy == OnUnhealthy::kReset) {
        change.close = CloseReason::kBackendUnhealthy;
      }
      if (++changes <= kMaxLines) {
        spdlog::warn("backend {} unhealthy: {}", name, live.report->detail);
      }
    } else if (before == Health::kUnhealthy && ++changes <= kMaxLines) {
      spdlog::info("backend {} healthy", name);
    }
  }
  if (changes > kMaxLines) spdlog::warn("and {} more backends changed", changes - kMaxLines);
}

bool LiveState::CheckOutliers(const DesiredState& desired, absl::Time now) {
  bool is_needed = false;
  for (auto& [name, pool] : pools_) {
    const DesiredPool* wanted = desired.FindPool(name);
    if (wanted == nullptr || pool.backends.empty()) continue;
    const OutlierSettings settings = OutliersOf(wanted->object->spec);
    is_needed = is_needed || settings.failures > 0;
    const uint64_t failures = pool.load->failures.load(std::memory_order_relaxed);
    const bool has_failed = std::exchange(pool.failures_seen, failures) != failures;
    if (!has_failed && pool.outliers.is_empty()) continue;
    std::vector<OutlierDetector::Seen> seen;
    for (const auto& [address, live] : pool.backends) {
      const auto object = wanted->backends.find(address);
      if (object == wanted->backends.end() ||
          EffectiveAdminState(object->second->effective) != AdminState::kEnabled) {
        continue;
      }
      seen.push_back({.id = reinterpret_cast<uintptr_t>(live.backend.get()),
                      .consecutive_failures =
                          live.backend->load.consecutive_failures.load(std::memory_order_relaxed)});
    }
    const auto now_ms = static_cast<uint64_t>(absl::ToUnixMillis(now));
    if (!pool.outliers.Update(settings, seen, now_ms)) continue;
    dirty_pools_.insert(name);
    has_pending_ = true;
    for (auto& [address, live] : pool.backends) {
      const auto until =
          pool.outliers.EjectedUntilMs(reinterpret_cast<uintptr_t>(live.backend.get()));
      if (live.is_ejected == until.has_value()) continue;
      touched_.backends.emplace_back(name, address);
      live.is_ejected = until.has_value();
      live.ejected_until.reset();
      live.state_change_time = now;
      if (!live.is_ejected) {
        spdlog::info("backend {}/{} takes sessions again", name, address.ToString());
        continue;
      }
      live.ejected_until = absl::FromUnixMillis(static_cast<int64_t>(*until));
      BackendChange& change = PendingChange({name, address}, &live);
      change.move_datagram_sessions = true;
      // They would fail as those before them did, only later; others serve, as one always does.
      change.repick_connecting = true;
      spdlog::warn(
          "backend {}/{} ejected for {}: connects failed in a row", name, address.ToString(),
          absl::FormatDuration(absl::Ceil(*live.ejected_until - now, absl::Milliseconds(100))));
    }
  }
  return is_needed;
}

}  // namespace sidelb::control
