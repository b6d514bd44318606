// The part of LiveState that has to do with groups by IP: one probe for all ports of an IP, whose
// verdict and ejection all of them share; docs/decisions/0010-groups.md.
#include <algorithm>
#include <utility>

#include "fmt/format.h"
#include "server/control/live_state.h"

namespace sidelb::control {

// The live backends of one IP, neighbours in their pool.
struct LiveState::Group {
  using Iterator = absl::btree_map<Address, LiveBackend>::iterator;
  Iterator first;
  Iterator last;

  Iterator begin() const { return first; }
  Iterator end() const { return last; }
};

namespace {

const BackendObject* ObjectIn(const DesiredPool& pool, const Address& address) {
  const auto found = pool.backends.find(address);
  return found == pool.backends.end() ? nullptr : found->second.get();
}

bool IsProbed(const BackendObject* object) {
  return object != nullptr && EffectiveAdminState(object->effective) != AdminState::kDisabled;
}

// Whether `a` is rather probed for its group than `b`: who names an address for it, then who came
// first.
bool IsRatherProbed(const BackendObject& a, const BackendObject& b) {
  const bool a_names = a.effective.probe_address.has_value();
  const bool b_names = b.effective.probe_address.has_value();
  return a_names != b_names ? a_names : a.oldest_claim < b.oldest_claim;
}

// What is known of a group already.
struct Verdict {
  ProbeId probe_id = 0;  // 0: nothing
  Address probed;
  Health health = Health::kUnknown;
  std::optional<HealthReport> report;
  bool is_of_follower = false;  // the report names who was probed
};

Verdict VerdictOf(const LiveBackend& live) {
  return {.probe_id = live.probe_id,
          .probed = live.probed,
          .health = live.health,
          .report = live.report,
          .is_of_follower = live.follows_probe};
}

}  // namespace

HealthReport ReportOfGroup(HealthReport report, const Address& probed) {
  if (!report.detail.empty()) {
    report.detail = fmt::format("{}: {}", probed.ToString(), report.detail);
  }
  return report;
}

void LiveState::SyncGroups(const DesiredPool& wanted, const std::string& name, LivePool& pool,
                           absl::Time now) {
  auto& backends = pool.backends;
  for (auto first = backends.begin(); first != backends.end();) {
    const Address ip = first->first.WithPort(0);
    const auto last = std::find_if(first, backends.end(), [&ip](const auto& entry) {
      return !(entry.first.WithPort(0) == ip);
    });
    SyncGroup(wanted, name, pool, {first, last}, now);
    first = last;
  }
  EndHealthLines();
}

void LiveState::SyncGroup(const DesiredPool& wanted, const std::string& name, LivePool& pool,
                          const Group& group, absl::Time now) {
  // Who is probed, and what is known: of it if anything is, else of any member, also of one that
  // leaves just now.
  const Address* prober = nullptr;
  const BackendObject* prober_object = nullptr;
  const LiveBackend* known = nullptr;
  uint64_t group_id = 0;
  for (const auto& [address, live] : group) {
    if (group_id == 0) group_id = live.group_id;
    if (known == nullptr && live.probe_id != 0) known = &live;
    const BackendObject* const object = ObjectIn(wanted, address);
    if (!IsProbed(object)) continue;
    if (prober_object != nullptr && !IsRatherProbed(*object, *prober_object)) continue;
    prober = &address;
    prober_object = object;
  }
  if (group_id == 0) group_id = next_id_++;
  const bool is_probed = pool.probe != nullptr && prober != nullptr;
  Verdict verdict;
  Address probed;
  bool must_put = false;
  if (is_probed) {
    LiveBackend& live = pool.backends.at(*prober);
    if (live.probe_id != 0) known = &live;
    if (known != nullptr) verdict = VerdictOf(*known);
    probed = ProbeAddress(prober_object->effective, wanted.object->spec);
    const bool is_new = verdict.probe_id == 0;
    if (is_new) verdict.probe_id = next_id_++;
    BackendKey& key = probe_keys_[verdict.probe_id];
    const bool takes_over = !is_new && !(key.second == *prober);
    key = {name, *prober};
    // Another place to ask the same member: what the old one said counts no more.
    if (!is_new && !takes_over && !(verdict.probed == probed)) {
      verdict.health = Health::kUnknown;
      verdict.report.reset();
    }
    must_put = is_new || takes_over || live.probe != pool.probe || !(live.probed == probed);
    if (live.probe_counters == nullptr) live.probe_counters = std::make_shared<ProbeCounters>();
  }
  for (auto& [address, live] : group) {
    const BackendObject* const object = ObjectIn(wanted, address);
    const BackendKey key(name, address);
    live.group_id = object == nullptr ? 0 : group_id;
    const bool is_enabled =
        object != nullptr && EffectiveAdminState(object->effective) == AdminState::kEnabled;
    TakeEjection(key, live, is_enabled ? pool.outliers.EjectedUntilMs(group_id) : std::nullopt,
                 now);
    if (live.probe_id != 0 && live.probe_id != verdict.probe_id && !live.follows_probe) {
      probes_to_remove_.push_back(live.probe_id);
      probe_keys_.erase(live.probe_id);
    }
    if (!is_probed || !IsProbed(object)) {
      ForgetProbe(live);
      continue;
    }
    const bool follows = !(address == *prober);
    const bool joins = live.probe_id != verdict.probe_id || live.follows_probe != follows;
    live.probe_id = verdict.probe_id;
    live.follows_probe = follows;
    live.probe = pool.probe;
    live.probed = probed;
    if (!joins && live.health == verdict.health) continue;
    live.report = verdict.report;
    if (live.report && follows && !verdict.is_of_follower) {
      live.report = ReportOfGroup(*std::move(live.report), verdict.probed);
    }
    touched_.backends.push_back(key);
    TakeHealth(&wanted, key, live, verdict.health, now);
  }
  if (!must_put) return;
  const LiveBackend& live = pool.backends.at(*prober);
  probes_to_put_.push_back({.id = live.probe_id,
                            .address = probed,
                            .backend = live.backend,
                            .settings = pool.probe,
                            .counters = live.probe_counters,
                            .known = live.health});
}

}  // namespace sidelb::control
