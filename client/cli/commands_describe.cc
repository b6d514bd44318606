// describe, info and version.
#include <algorithm>
#include <map>

#include "absl/strings/escaping.h"
#include "absl/time/clock.h"
#include "client/cli/commands.h"
#include "client/cli/json_output.h"
#include "client/cli/numbers.h"
#include "client/cli/object_tables.h"
#include "client/cli/read_state.h"
#include "client/cli/report.h"
#include "client/cli/values.h"
#include "client/error_details.h"
#include "fmt/format.h"

namespace sidelb::client {
namespace {

std::string TimeText(const google::protobuf::Timestamp& time) {
  return absl::FormatTime("%Y-%m-%d %H:%M:%SZ", FromProto(time), absl::UTCTimeZone());
}

// "12", "12 of at most 1000".
std::string CountText(uint64_t count, uint64_t limit) {
  return limit == 0 ? fmt::to_string(count) : fmt::format("{} of at most {}", count, limit);
}

std::string LimitText(uint64_t limit) { return limit == 0 ? "unlimited" : fmt::to_string(limit); }

std::string KeepaliveText(const pb::Keepalive& keepalive) {
  if (keepalive.has_idle() && FromProto(keepalive.idle()) == absl::ZeroDuration()) return "off";
  return fmt::format("after {}, every {}, {} times",
                     DurationOr(keepalive.has_idle(), keepalive.idle(), "60s"),
                     DurationOr(keepalive.has_interval(), keepalive.interval(), "15s"),
                     keepalive.has_count() ? fmt::to_string(keepalive.count()) : "4(default)");
}

std::string NumberOr(bool is_set, uint32_t number, std::string_view otherwise) {
  return is_set ? fmt::to_string(number) : fmt::format("{}(default)", otherwise);
}

std::string HealthCheckText(const pb::HealthCheck& check) {
  if (check.kind() == pb::PROBE_KIND_NONE) return "none";
  std::string text = check.kind() == pb::PROBE_KIND_UNSPECIFIED
                         ? "tcp-connect for TCP listeners(default)"
                         : Word(pb::ProbeKind_Name(check.kind()), "PROBE_KIND_");
  if (check.port() != 0) text += fmt::format(" on port {}", check.port());
  text += fmt::format(", every {}, timeout {}, rise {}, fall {}",
                      DurationOr(check.has_interval(), check.interval(), "2s"),
                      DurationOr(check.has_timeout(), check.timeout(), "1s"),
                      NumberOr(check.has_rise(), check.rise(), "2"),
                      NumberOr(check.has_fall(), check.fall(), "3"));
  if (!check.send().empty()) text += fmt::format(", sends \"{}\"", absl::CEscape(check.send()));
  if (!check.expect().empty()) {
    text += fmt::format(", expects \"{}\"", absl::CEscape(check.expect()));
  }
  return text;
}

std::string EjectionText(const pb::Pool& pool) {
  const pb::HealthCheck& check = pool.health_check();
  if (check.has_passive_failures() && check.passive_failures() == 0) return "never";
  return fmt::format("after {} failed connects in a row, for {} to {}, at most {} %",
                     NumberOr(check.has_passive_failures(), check.passive_failures(), "5"),
                     DurationOr(pool.has_ejection_time(), pool.ejection_time(), "10s"),
                     DurationOr(pool.has_max_ejection_time(), pool.max_ejection_time(), "300s"),
                     NumberOr(pool.has_max_ejection_percent(), pool.max_ejection_percent(), "50"));
}

std::string RingDomainText(const pb::RingDomain& domain) {
  std::string text = domain.domain();
  if (domain.port() != 0) text += fmt::format(":{}", domain.port());
  if (domain.record() != pb::RECORD_TYPE_UNSPECIFIED) {
    text += fmt::format(" ({})", Word(pb::RecordType_Name(domain.record()), "RECORD_TYPE_"));
  }
  return text;
}

std::string HashText(const pb::Pool& pool) {
  const bool has_key = pool.hash_key() != pb::HASH_KEY_UNSPECIFIED;
  return fmt::format(
      "by {}, {} slots",
      has_key ? Word(pb::HashKey_Name(pool.hash_key()), "HASH_KEY_") : "source-ip(default)",
      NumberOr(pool.has_hash_table_size(), pool.hash_table_size(), "65537"));
}

bool IsHashed(const pb::Pool& pool) {
  return pool.mode() == pb::MODE_SOURCE_HASH || pool.mode() == pb::MODE_MAGLEV ||
         pool.hash_key() != pb::HASH_KEY_UNSPECIFIED || pool.has_hash_table_size();
}

absl::Status NotFound(std::string_view reason, const std::string& message) {
  return MakeError(absl::StatusCode::kNotFound, reason, message);
}

std::string DescribePool(const pb::State& state, const pb::Pool& pool, Colour colour) {
  const pb::PoolStatus& status = pool.status();
  std::vector<std::string> listeners;
  for (const pb::Listener& listener : state.listeners()) {
    listeners.push_back(fmt::format("{} ({})", listener.name(), listener.address()));
  }
  FieldList fields;
  fields.Add("Pool", pool.name());
  fields.Add("Mode", ModeWord(pool.mode()));
  if (IsHashed(pool)) fields.Add("Hash", HashText(pool));
  const IpGroups groups = GroupByIp(state);
  if (pool.group_by_ip()) fields.Add("Grouped", "by IP: " + Plural(groups.size(), "group"));
  fields.Add("Listeners", fmt::format("{}", fmt::join(listeners, ", ")));
  fields.Add("Backends", fmt::format("{}: {} serving, {} draining, {} unhealthy, {} disabled",
                                     status.total(), status.serving(), status.draining(),
                                     status.unhealthy(), status.disabled()));
  fields.Add("Sessions", fmt::to_string(status.active_connections()));
  fields.Add("Drain", DrainText(pool.drain(), "30s"));
  fields.Add("Probes", HealthCheckText(pool.health_check()));
  fields.Add("Ejection", EjectionText(pool));
  fields.Add("On unhealthy", pool.on_unhealthy() == pb::ON_UNHEALTHY_RESET ? "sessions are reset"
                                                                           : "sessions go on");
  fields.Add("Panic", pool.panic_percent() == 0
                          ? "never"
                          : fmt::format("below {} % healthy{}", pool.panic_percent(),
                                        status.panic() ? ": now" : ""));
  fields.Add("Slow start", DurationOr(pool.has_slow_start(), pool.slow_start(), "off"));
  for (const pb::RingDomain& domain : pool.ring_domains()) {
    fields.Add("Ring domain", RingDomainText(domain));
  }
  fields.Add("Revision", fmt::to_string(pool.revision()));
  std::string text = fields.Render(colour);
  if (!groups.empty()) text += "\n" + GroupTable(groups).Render(colour);
  const Table table = BackendTable(state, Columns::kDefault, absl::Now());
  if (!table.is_empty()) text += "\n" + table.Render(colour);
  return text;
}

std::string DescribeListener(const pb::Listener& listener, Colour colour) {
  const pb::ListenerStatus& status = listener.status();
  const Table::Cell state = ListenerStateCell(listener);
  FieldList fields;
  fields.Add("Listener", listener.name());
  fields.Add("Address", listener.address());
  if (!status.bound_address().empty() && status.bound_address() != listener.address()) {
    fields.Add("Bound", status.bound_address());
  }
  const bool is_udp = listener.protocol() == pb::PROTOCOL_UDP;
  fields.Add("Protocol", is_udp ? "udp" : "tcp");
  fields.Add("Pool", listener.pool());
  fields.Add("State", state.text, state.tone);
  if (!status.error().empty()) fields.Add("Error", status.error(), Tone::kBad);
  fields.Add("Sessions", CountText(status.active_connections(), listener.max_connections()));
  if (is_udp) {
    const bool has_policy = listener.udp_policy() != pb::UDP_POLICY_UNSPECIFIED;
    fields.Add("Policy", has_policy ? Word(pb::UdpPolicy_Name(listener.udp_policy()), "UDP_POLICY_")
                                    : "session(default)");
    fields.Add("Session timeout", DurationOr(listener.has_udp_session_timeout(),
                                             listener.udp_session_timeout(), "60s"));
    fields.Add("Unanswered timeout", DurationOr(listener.has_udp_unanswered_timeout(),
                                                listener.udp_unanswered_timeout(), "15s"));
    fields.Add("Sessions per client", LimitText(listener.max_sessions_per_client()));
  } else {
    fields.Add("Connect timeout",
               DurationOr(listener.has_connect_timeout(), listener.connect_timeout(), "3s"));
    fields.Add("Connect attempts", listener.has_connect_attempts()
                                       ? fmt::to_string(listener.connect_attempts())
                                       : "3(default)");
    fields.Add("Idle timeout",
               DurationOr(listener.has_idle_timeout(), listener.idle_timeout(), "1h"));
    fields.Add("Half-close timeout",
               DurationOr(listener.has_half_close_timeout(), listener.half_close_timeout(), "30s"));
    fields.Add("Keepalive", KeepaliveText(listener.keepalive()));
  }
  fields.Add("Revision", fmt::to_string(listener.revision()));
  return fields.Render(colour);
}

void AddOverride(const pb::Backend& backend, FieldList* fields) {
  if (!backend.has_override()) {
    fields->Add("Override", "");
    return;
  }
  const pb::Override& imposed = backend.override();
  std::vector<std::string> parts;
  if (imposed.admin_state() != pb::ADMIN_STATE_UNSPECIFIED) {
    std::string part = Word(pb::AdminState_Name(imposed.admin_state()), "ADMIN_STATE_");
    if (imposed.has_drain()) part += " (" + DrainText(imposed.drain(), "no deadline") + ")";
    parts.push_back(std::move(part));
  }
  if (imposed.health() != pb::HEALTH_OVERRIDE_UNSPECIFIED) {
    parts.push_back(Word(pb::HealthOverride_Name(imposed.health()), "HEALTH_OVERRIDE_"));
  }
  if (imposed.has_weight()) parts.push_back(fmt::format("weight {}", imposed.weight()));
  std::string text = fmt::format("{}", fmt::join(parts, ", "));
  if (!imposed.set_by().empty()) text += " by " + imposed.set_by();
  if (imposed.has_expire_time()) {
    text += fmt::format(" until {} ({} left)", TimeText(imposed.expire_time()),
                        OverrideLeft(backend, absl::Now()));
  }
  if (!imposed.reason().empty()) text += ": " + imposed.reason();
  fields->Add("Override", text, Tone::kCareful);
}

std::string DescribeBackend(const pb::Backend& backend, const IpGroups& groups, Colour colour) {
  const pb::BackendStatus& status = backend.status();
  const pb::BackendSpec& spec = backend.effective();
  const Table::Cell state = StateCell(status);
  const Table::Cell health = HealthCell(status);
  const std::string why = WhyIneligible(status);
  FieldList fields;
  fields.Add("Backend", backend.address());
  fields.Add("Pool", backend.pool());
  fields.Add(
      "State",
      state.text +
          (status.has_state_change_time() ? " since " + TimeText(status.state_change_time()) : ""),
      state.tone);
  fields.Add("Takes sessions", why.empty() ? "yes" : "no: " + why,
             why.empty() ? Tone::kGood : Tone::kCareful);
  fields.Add("Health", health.text + (status.detail().empty() ? "" : ", " + status.detail()),
             health.tone);
  if (status.has_ejected_until()) {
    fields.Add("Ejected until", TimeText(status.ejected_until()), Tone::kBad);
  }
  if (status.has_drain_deadline()) {
    const absl::Duration left = FromProto(status.drain_deadline()) - absl::Now();
    fields.Add("Drain until",
               fmt::format("{} ({} and {} sessions left)", TimeText(status.drain_deadline()),
                           DurationText(std::max(left, absl::ZeroDuration())),
                           status.active_connections()));
  }
  fields.Add("Sessions", CountText(status.active_connections(), spec.max_connections()));
  if (const IpGroup* group = FindGroup(groups, backend)) {
    fields.Add("IP group",
               fmt::format("{}: {}, {}", IpOf(backend.address()),
                           Plural(group->backends, "backend"), Plural(group->sessions, "session")));
  }
  fields.Add("Weight", fmt::to_string(WeightOf(backend)));
  if (spec.priority() != 0) fields.Add("Priority", fmt::to_string(spec.priority()));
  if (!spec.probe_address().empty()) fields.Add("Probed at", spec.probe_address());
  fields.Add("Zone", spec.zone());
  fields.Add("Group", spec.group());
  fields.Add("Tags", TagsText(spec));
  AddOverride(backend, &fields);
  fields.Add("Revision", fmt::to_string(backend.revision()));
  std::string text = fields.Render(colour);
  if (backend.claims().empty()) return text;
  const bool is_any_expired =
      std::any_of(backend.claims().begin(), backend.claims().end(),
                  [](const pb::Claim& claim) { return claim.lease_expired(); });
  std::vector<std::string> headers = {"CLAIM", "WEIGHT", "MAX-CONNECTIONS", "ADMIN-STATE", "ZONE",
                                      "GROUP", "TAGS"};
  if (is_any_expired) headers.push_back("LEASE");
  Table claims(headers);
  for (const pb::Claim& claim : backend.claims()) {
    const pb::BackendSpec& said = claim.spec();
    const bool says_state = said.admin_state() != pb::ADMIN_STATE_UNSPECIFIED;
    std::vector<Table::Cell> row = {
        {claim.owner()},
        {said.has_weight() ? fmt::to_string(said.weight()) : "100(default)"},
        {LimitText(said.max_connections())},
        {says_state ? Word(pb::AdminState_Name(said.admin_state()), "ADMIN_STATE_")
                    : "enabled(default)"},
        {said.zone()},
        {said.group()},
        {TagsText(said)}};
    if (is_any_expired) {
      row.push_back({claim.lease_expired() ? "expired" : "", Tone::kBad});
    }
    claims.AddRow(std::move(row));
  }
  return text + "\n" + claims.Render(colour);
}

// What was described, for -o json.
ExitCode PrintState(const Invocation& invocation, const pb::State& state) {
  const bool is_line = invocation.arguments.global.output == Output::kJsonLines;
  invocation.streams.out << ToJson(state, is_line ? JsonLayout::kLine : JsonLayout::kIndented,
                                   JsonFields::kAll);
  return ExitCode::kOk;
}

// The objects that `command` is about, or why not.
absl::StatusOr<pb::State> ReadDescribed(const Invocation& invocation,
                                        const DescribeCommand& command) {
  if (command.noun == DescribeCommand::Noun::kListener) {
    auto request = ReadRequest({pb::OBJECT_KIND_LISTENER}, {}, pb::VIEW_FULL);
    request.mutable_filter()->add_listeners(command.name);
    auto read = invocation.calls.get_state(request);
    if (!read.ok()) return read.status();
    if (read->state().listeners().empty()) {
      return NotFound("LISTENER_NOT_FOUND",
                      fmt::format("there is no listener \"{}\"", command.name));
    }
    return std::move(*read->mutable_state());
  }
  auto request =
      ReadRequest({pb::OBJECT_KIND_POOL, pb::OBJECT_KIND_BACKEND}, {command.name}, pb::VIEW_FULL);
  if (command.noun == DescribeCommand::Noun::kBackend) {
    request.mutable_filter()->mutable_backends()->add_addresses(command.address);
  }
  auto read = invocation.calls.get_state(request);
  if (!read.ok()) return read.status();
  pb::State state = std::move(*read->mutable_state());
  if (state.pools().empty()) {
    return NotFound("POOL_NOT_FOUND", fmt::format("there is no pool \"{}\"", command.name));
  }
  if (command.noun == DescribeCommand::Noun::kBackend) {
    if (state.backends().empty()) {
      return NotFound("BACKEND_NOT_FOUND",
                      fmt::format("pool \"{}\" has no backend {}", command.name, command.address));
    }
    return state;
  }
  auto listeners =
      invocation.calls.get_state(ReadRequest({pb::OBJECT_KIND_LISTENER}, {}, pb::VIEW_FULL));
  if (!listeners.ok()) return listeners.status();
  for (const pb::Listener& listener : listeners->state().listeners()) {
    if (listener.pool() == command.name) *state.add_listeners() = listener;
  }
  return state;
}

// The groups that a described backend is one of.
absl::StatusOr<IpGroups> ReadGroups(const Invocation& invocation, const DescribeCommand& command,
                                    const google::protobuf::RepeatedPtrField<pb::Pool>& pools) {
  const bool is_backend = command.noun == DescribeCommand::Noun::kBackend;
  if (!is_backend || pools.empty() || !pools[0].group_by_ip()) return IpGroups();
  const auto all = invocation.calls.get_state(
      ReadRequest({pb::OBJECT_KIND_POOL, pb::OBJECT_KIND_BACKEND}, {command.name}, pb::VIEW_FULL));
  if (!all.ok()) return all.status();
  return GroupByIp(all->state());
}

// A line for each kind: "rpc:Apply" and "rpc:GetInfo" are "Can rpc:  Apply, GetInfo".
void AddCapabilities(const pb::GetInfoResponse& info, FieldList* fields) {
  std::map<std::string, std::vector<std::string>> kinds;
  for (const std::string& capability : info.capabilities()) {
    const size_t colon = capability.find(':');
    const bool has_kind = colon != std::string::npos;
    kinds[has_kind ? capability.substr(0, colon) : "other"].push_back(
        has_kind ? capability.substr(colon + 1) : capability);
  }
  for (const auto& [kind, names] : kinds) {
    fields->Add("Can " + kind, fmt::format("{}", fmt::join(names, ", ")));
  }
}

}  // namespace

ExitCode RunCommand(const Invocation& invocation, const DescribeCommand& command) {
  auto state = ReadDescribed(invocation, command);
  if (!state.ok()) {
    return PrintError(state.status(), invocation.arguments.global.output, invocation.streams);
  }
  if (invocation.is_json()) {
    if (command.noun == DescribeCommand::Noun::kBackend) state->clear_pools();
    return PrintState(invocation, *state);
  }
  const auto groups = ReadGroups(invocation, command, state->pools());
  if (!groups.ok()) {
    return PrintError(groups.status(), invocation.arguments.global.output, invocation.streams);
  }
  const Colour colour = invocation.streams.out_colour;
  switch (command.noun) {
    case DescribeCommand::Noun::kPool:
      invocation.streams.out << DescribePool(*state, state->pools(0), colour);
      break;
    case DescribeCommand::Noun::kBackend:
      invocation.streams.out << DescribeBackend(state->backends(0), *groups, colour);
      break;
    case DescribeCommand::Noun::kListener:
      invocation.streams.out << DescribeListener(state->listeners(0), colour);
      break;
  }
  return ExitCode::kOk;
}

ExitCode RunCommand(const Invocation& invocation, const InfoCommand&) {
  const Output output = invocation.arguments.global.output;
  const auto info = invocation.calls.get_info();
  if (!info.ok()) return PrintError(info.status(), output, invocation.streams);
  if (invocation.is_json()) {
    invocation.streams.out << ToJson(
        *info, output == Output::kJsonLines ? JsonLayout::kLine : JsonLayout::kIndented,
        JsonFields::kAll);
    return ExitCode::kOk;
  }
  FieldList fields;
  fields.Add("Version", info->version());
  if (!info->instance_id().empty()) fields.Add("Instance", info->instance_id());
  fields.Add("State", Word(pb::ServerState_Name(info->state()), "SERVER_STATE_"),
             info->state() == pb::SERVER_STATE_SERVING ? Tone::kGood : Tone::kCareful);
  if (!info->principal().empty()) {
    fields.Add("You", fmt::format("{}, {}", info->principal(),
                                  Word(pb::Role_Name(info->role()), "ROLE_")));
  }
  fields.Add("Started", TimeText(info->start_time()));
  fields.Add("Revision",
             fmt::format("{} (applied {})", info->revision(), info->applied_revision()));
  fields.Add("Epoch", info->epoch());
  fields.Add("Shards", fmt::to_string(info->shards()));
  fields.Add("Sessions", CountText(info->active_connections(), info->limits().max_connections()));
  fields.Add("Limits", fmt::format("{} backends, {} ops a request", info->limits().max_backends(),
                                   info->limits().max_ops()));
  if (info->has_store()) fields.Add("Store", info->store().kind());
  AddCapabilities(*info, &fields);
  if (!info->leases().empty()) fields.Add("Leases", fmt::to_string(info->leases_size()));
  for (const pb::FaultCount& fault : info->faults()) {
    fields.Add("Fault " + fault.code(), fmt::format("{} times", fault.count()), Tone::kBad);
  }
  for (const pb::Condition& condition : info->conditions()) {
    fields.Add("Condition",
               fmt::format("{} since {}: {}", condition.code(), TimeText(condition.since()),
                           condition.detail()),
               Tone::kBad);
  }
  invocation.streams.out << fields.Render(invocation.streams.out_colour);
  return ExitCode::kOk;
}

ExitCode RunCommand(const Invocation& invocation, const VersionCommand&) {
  if (invocation.is_json()) {
    invocation.streams.out << "{\"version\":\"" SIDELB_VERSION "\"}\n";
  } else {
    invocation.streams.out << "sidelb-cli " SIDELB_VERSION "\n";
  }
  return ExitCode::kOk;
}

}  // namespace sidelb::client
