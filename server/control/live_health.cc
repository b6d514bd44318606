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

// What stands for it, or for its group, in OutlierDetector: an id of ours, or an address in memory.
uint64_t OutlierId(const LiveBackend& live) {
  return live.group_id != 0 ? live.group_id : reinterpret_cast<uintptr_t>(live.backend.get());
}

}  // namespace

Address ProbeAddress(const BackendSpec& backend, const PoolSpec& pool) {
  Address address = backend.probe_address.value_or(backend.address);
  const uint32_t port = pool.health_check.has_value() ? pool.health_check->port : 0;
  return port == 0 ? address : address.WithPort(static_cast<uint16_t>(port));
}

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
  if (live.follows_probe && live.health != Health::kUnknown) {
    return live.health == Health::kHealthy ? HealthReason::kOk : HealthReason::kGroupDown;
  }
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

void ForgetProbe(LiveBackend& live) {
  live.probe_id = 0;
  live.follows_probe = false;
  live.probe.reset();
  live.report.reset();
  live.health = Health::kUnknown;
}

void LiveState::StopProbing(LiveBackend& live) {
  if (live.probe_id == 0) return;
  if (!live.follows_probe) {
    probes_to_remove_.push_back(live.probe_id);
    probe_keys_.erase(live.probe_id);
  }
  ForgetProbe(live);
}

// Makes the probes of pools follow their configuration and their backends.
void LiveState::SyncProbes(const DesiredState& before, const Change& change, absl::Time now) {
  // Which pools are probed depends on the listeners that lead to them, too.
  std::set<std::string> names = change.pools;
  for (const auto& [name, op] : change.listeners) {
    for (const DesiredState* state : {&before, &change.next}) {
      if (const ListenerObject* listener = state->FindListener(name)) {
        names.insert(listener->spec.pool);
      }
    }
  }
  std::set<std::string> whole;
  for (const std::string& name : names) {
    const auto found = pools_.find(name);
    if (found == pools_.end()) continue;
    LivePool& pool = found->second;
    const DesiredPool* const wanted = change.next.FindPool(name);
    const bool has_new_settings = SyncProbeSettings(change.next, name, pool);
    if (wanted != nullptr && wanted->object->spec.group_by_ip) {
      SyncGroups(*wanted, name, pool, now);
      dirty_pools_[name].is_whole = true;  // one member's verdict is that of others
      whole.insert(name);
    } else if (has_new_settings || !IsSamePool(before, change.next, name)) {
      for (auto& [address, live] : pool.backends) SyncProbe(wanted, {name, address}, pool, live);
      whole.insert(name);
    }
  }
  for (const BackendKey& key : change.backends) {
    if (whole.contains(key.first)) continue;
    const auto found = pools_.find(key.first);
    if (found == pools_.end()) continue;
    const auto live = found->second.backends.find(key.second);
    if (live == found->second.backends.end()) continue;
    SyncProbe(change.next.FindPool(key.first), key, found->second, live->second);
  }
}

// Whether the pool's probes have other settings now.
bool LiveState::SyncProbeSettings(const DesiredState& desired, const std::string& name,
                                  LivePool& pool) {
  const DesiredPool* wanted = desired.FindPool(name);
  std::shared_ptr<const ProbeSettings> settings =
      wanted == nullptr ? nullptr : MakeSettings(desired, wanted->object->spec);
  if (!AreEqual(settings.get(), pool.probe.get())) {
    pool.probe = std::move(settings);
    dirty_pools_[name].is_whole = true;  // health may be forgotten
    touched_.whole_pools.insert(name);
    has_pending_ = true;
    return true;
  }
  return false;
}

// Makes the probe of a backend, outside of a group, follow its configuration.
void LiveState::SyncProbe(const DesiredPool* wanted, const BackendKey& key, LivePool& pool,
                          LiveBackend& live) {
  const bool was_grouped = std::exchange(live.group_id, 0) != 0;
  const BackendObject* object = nullptr;
  if (wanted != nullptr) {
    const auto found = wanted->backends.find(key.second);
    if (found != wanted->backends.end()) object = found->second.get();
  }
  const bool is_probed = pool.probe != nullptr && object != nullptr &&
                         EffectiveAdminState(object->effective) != AdminState::kDisabled;
  if (!is_probed) return StopProbing(live);
  const Address probed = ProbeAddress(object->effective, wanted->object->spec);
  if (was_grouped && live.follows_probe) {
    // It keeps the group's verdict until a probe of its own says otherwise.
    live.follows_probe = false;
    live.probe_id = 0;
    live.report.reset();
    live.probed = probed;
    touched_.backends.push_back(key);
  }
  if (live.probe_id != 0 && live.probe == pool.probe && live.probed == probed) return;
  if (live.probe_id == 0) live.probe_id = next_id_++;
  if (live.probe_counters == nullptr) live.probe_counters = std::make_shared<ProbeCounters>();
  if (!(live.probed == probed)) {
    live.health = Health::kUnknown;
    live.report.reset();
  }
  live.probe = pool.probe;
  live.probed = probed;
  probe_keys_[live.probe_id] = key;
  probes_to_put_.push_back({.id = live.probe_id,
                            .address = probed,
                            .backend = live.backend,
                            .settings = pool.probe,
                            .counters = live.probe_counters,
                            .known = live.health});
}

void LiveState::OnReports(const DesiredState& desired, std::vector<HealthReport> reports,
                          absl::Time now) {
  for (HealthReport& report : reports) {
    const auto key = probe_keys_.find(report.id);
    if (key == probe_keys_.end()) continue;  // it is not probed any more
    const auto& [name, address] = key->second;
    auto& backends = pools_.at(name).backends;
    const DesiredPool* const wanted = desired.FindPool(name);
    LiveBackend& probed = backends.at(address);
    if (probed.group_id != 0) {
      const HealthReport of_group = ReportOfGroup(report, probed.probed);
      for (auto member = backends.lower_bound(address.WithPort(0));
           member != backends.end() && member->first.WithPort(0) == address.WithPort(0); ++member) {
        LiveBackend& live = member->second;
        if (live.probe_id != report.id || !live.follows_probe) continue;
        TakeReport(wanted, {name, member->first}, live, of_group, now);
      }
    }
    TakeReport(wanted, key->second, probed, std::move(report), now);
  }
  EndHealthLines();
}

void LiveState::TakeReport(const DesiredPool* wanted, const BackendKey& key, LiveBackend& live,
                           HealthReport report, absl::Time now) {
  const Health health = report.health;
  live.report = std::move(report);
  touched_.backends.push_back(key);
  TakeHealth(wanted, key, live, health, now);
}

void LiveState::TakeHealth(const DesiredPool* wanted, const BackendKey& key, LiveBackend& live,
                           Health health, absl::Time now) {
  const Health before = std::exchange(live.health, health);
  if (before == health) return;
  live.state_change_time = now;
  dirty_pools_[key.first].backends.push_back(key.second);
  has_pending_ = true;
  const std::string name = fmt::format("{}/{}", key.first, key.second.ToString());
  if (health == Health::kUnhealthy) {
    BackendChange& change = PendingChange(key, &live);
    change.move_datagram_sessions = true;
    if (wanted != nullptr && wanted->object->spec.on_unhealthy == OnUnhealthy::kReset) {
      change.close = CloseReason::kBackendUnhealthy;
    }
    if (++health_lines_ <= kMaxLines) {
      spdlog::warn("backend {} unhealthy: {}", name, live.report ? live.report->detail : "");
    }
  } else if (before == Health::kUnhealthy && ++health_lines_ <= kMaxLines) {
    spdlog::info("backend {} healthy", name);
  }
}

void LiveState::EndHealthLines() {
  if (health_lines_ > kMaxLines) {
    spdlog::warn("and {} more backends changed", health_lines_ - kMaxLines);
  }
  health_lines_ = 0;
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
    const auto is_counted = [&](const Address& address) {
      const auto object = wanted->backends.find(address);
      return object != wanted->backends.end() &&
             EffectiveAdminState(object->second->effective) == AdminState::kEnabled;
    };
    for (const auto& [address, live] : pool.backends) {
      if (!is_counted(address)) continue;
      const uint32_t in_a_row =
          live.backend->load.consecutive_failures.load(std::memory_order_relaxed);
      // The members of a group are neighbours.
      if (live.group_id != 0 && !seen.empty() && seen.back().id == live.group_id) {
        seen.back().consecutive_failures += in_a_row;
        ++seen.back().backends;
      } else {
        seen.push_back({.id = OutlierId(live), .consecutive_failures = in_a_row});
      }
    }
    const auto now_ms = static_cast<uint64_t>(absl::ToUnixMillis(now));
    if (!pool.outliers.Update(settings, seen, now_ms)) continue;
    for (auto& [address, live] : pool.backends) {
      const auto until = pool.outliers.EjectedUntilMs(OutlierId(live));
      TakeEjection({name, address}, live, is_counted(address) ? until : std::nullopt, now);
    }
  }
  return is_needed;
}

void LiveState::TakeEjection(const BackendKey& key, LiveBackend& live,
                             std::optional<uint64_t> until_ms, absl::Time now) {
  if (live.is_ejected == until_ms.has_value()) return;
  dirty_pools_[key.first].backends.push_back(key.second);
  has_pending_ = true;
  touched_.backends.push_back(key);
  live.is_ejected = until_ms.has_value();
  live.ejected_until.reset();
  live.state_change_time = now;
  const std::string name = fmt::format("{}/{}", key.first, key.second.ToString());
  if (!live.is_ejected) {
    spdlog::info("backend {} takes sessions again", name);
    return;
  }
  live.ejected_until = absl::FromUnixMillis(static_cast<int64_t>(*until_ms));
  BackendChange& change = PendingChange(key, &live);
  change.move_datagram_sessions = true;
  // They would fail as those before them did, only later; others serve, as one always does.
  change.repick_connecting = true;
  spdlog::warn(
      "backend {} ejected for {}: connects failed in a row", name,
      absl::FormatDuration(absl::Ceil(*live.ejected_until - now, absl::Milliseconds(100))));
}

}  // namespace sidelb::control
