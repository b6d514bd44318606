#include "client/cli/object_tables.h"

#include <map>

#include "client/cli/values.h"
#include "fmt/format.h"

namespace sidelb::client {
namespace {

constexpr uint32_t kDefaultWeight = 100;

std::string Limit(uint32_t limit) { return limit == 0 ? "unlimited" : fmt::to_string(limit); }

std::string OrUnknown(std::string word) { return word.empty() ? "unknown" : word; }

// The listener's address, with the port that the kernel chose when it was asked to.
std::string AddressOf(const pb::Listener& listener) {
  const std::string& bound = listener.status().bound_address();
  return listener.address().ends_with(":0") && !bound.empty() ? bound : listener.address();
}

std::string Owners(const pb::Backend& backend, Columns columns) {
  if (backend.claims().empty()) return "";
  if (columns == Columns::kDefault) {
    const int more = backend.claims_size() - 1;
    return backend.claims(0).owner() + (more > 0 ? fmt::format("+{}", more) : "");
  }
  std::vector<std::string> owners;
  for (const pb::Claim& claim : backend.claims()) owners.push_back(claim.owner());
  return fmt::format("{}", fmt::join(owners, ","));
}

std::string TimeLeft(const pb::BackendStatus& status, absl::Time now) {
  if (!status.has_drain_deadline()) return "";
  return DurationText(std::max(FromProto(status.drain_deadline()) - now, absl::ZeroDuration()));
}

std::string Age(const pb::BackendStatus& status, absl::Time now) {
  if (!status.has_state_change_time()) return "";
  return DurationText(std::max(now - FromProto(status.state_change_time()), absl::ZeroDuration()));
}

std::string PolicyOf(const pb::Listener& listener) {
  return listener.udp_policy() == pb::UDP_POLICY_UNSPECIFIED
             ? "session"
             : Word(pb::UdpPolicy_Name(listener.udp_policy()), "UDP_POLICY_");
}

}  // namespace

Table ListenerTable(const pb::State& state, Columns columns) {
  const bool is_wide = columns == Columns::kWide;
  std::vector<std::string> headers = {"NAME", "ADDRESS", "PROTOCOL", "POOL", "STATE", "SESSIONS"};
  if (is_wide) {
    headers.insert(headers.end(), {"MAX-CONNECTIONS", "IDLE", "CONNECT", "HALF-CLOSE", "UNANSWERED",
                                   "POLICY", "REVISION"});
  }
  Table table(headers);
  for (const pb::Listener& listener : state.listeners()) {
    std::vector<Table::Cell> row = {
        {listener.name()},
        {AddressOf(listener)},
        {listener.protocol() == pb::PROTOCOL_UDP ? "udp" : "tcp"},
        {listener.pool()},
        ListenerStateCell(listener),
        {fmt::to_string(listener.status().active_connections())},
    };
    if (is_wide) {
      row.push_back({Limit(listener.max_connections())});
      const bool is_udp = listener.protocol() == pb::PROTOCOL_UDP;
      if (is_udp) {
        row.push_back(
            {DurationOr(listener.has_udp_session_timeout(), listener.udp_session_timeout(), "1m")});
        row.insert(row.end(), {{"-"}, {"-"}});
        row.push_back({DurationOr(listener.has_udp_unanswered_timeout(),
                                  listener.udp_unanswered_timeout(), "15s")});
        row.push_back({PolicyOf(listener)});
      } else {
        row.push_back({DurationOr(listener.has_idle_timeout(), listener.idle_timeout(), "1h")});
        row.push_back(
            {DurationOr(listener.has_connect_timeout(), listener.connect_timeout(), "3s")});
        row.push_back(
            {DurationOr(listener.has_half_close_timeout(), listener.half_close_timeout(), "30s")});
        row.insert(row.end(), {{"-"}, {"-"}});
      }
      row.push_back({fmt::to_string(listener.revision())});
    }
    table.AddRow(std::move(row));
  }
  return table;
}

Table PoolTable(const pb::State& state, Columns columns) {
  const bool is_wide = columns == Columns::kWide;
  std::vector<std::string> headers = {"NAME",     "MODE",      "BACKENDS", "SERVING",
                                      "DRAINING", "UNHEALTHY", "DISABLED", "SESSIONS"};
  if (is_wide) headers.insert(headers.end(), {"DRAIN", "REVISION"});
  Table table(headers);
  for (const pb::Pool& pool : state.pools()) {
    const pb::PoolStatus& status = pool.status();
    const auto count = [](uint32_t number, Tone tone) {
      return Table::Cell{fmt::to_string(number), number > 0 ? tone : Tone::kPlain};
    };
    std::vector<Table::Cell> row = {
        {pool.name()},
        {ModeWord(pool.mode())},
        {fmt::to_string(status.total())},
        {fmt::to_string(status.serving()), status.serving() > 0 ? Tone::kGood
                                           : status.total() > 0 ? Tone::kBad
                                                                : Tone::kPlain},
        count(status.draining(), Tone::kCareful),
        count(status.unhealthy(), Tone::kBad),
        count(status.disabled(), Tone::kCareful),
        {fmt::to_string(status.active_connections())},
    };
    if (is_wide) {
      row.push_back({DrainText(pool.drain(), "30s")});
      row.push_back({fmt::to_string(pool.revision())});
    }
    table.AddRow(std::move(row));
  }
  return table;
}

Table BackendTable(const pb::State& state, Columns columns, absl::Time now,
                   const IpGroups& groups) {
  const bool is_wide = columns == Columns::kWide;
  std::vector<std::string> headers = {"POOL",   "ADDRESS",  "STATE", "HEALTH",
                                      "WEIGHT", "SESSIONS", "OWNER"};
  if (is_wide) {
    headers.back() = "OWNERS";
    headers.insert(headers.end(), {"OVERRIDE", "WHY", "MAX-CONNECTIONS", "ZONE", "GROUP",
                                   "IP-GROUP", "IP-SESSIONS", "TAGS", "DRAIN-LEFT", "SINCE",
                                   "REVISION", "OVERRIDE-BY", "OVERRIDE-LEFT", "REASON"});
  }
  Table table(headers);
  for (const pb::Backend& backend : state.backends()) {
    const pb::BackendStatus& status = backend.status();
    std::vector<Table::Cell> row = {
        {backend.pool()},
        {backend.address()},
        StateCell(status),
        HealthCell(status),
        {fmt::to_string(WeightOf(backend))},
        {fmt::to_string(status.active_connections())},
        {Owners(backend, columns)},
    };
    if (is_wide) {
      const pb::BackendSpec& spec = backend.effective();
      row.push_back({OverrideText(backend)});
      row.push_back({WhyIneligible(status)});
      row.push_back({Limit(spec.max_connections())});
      row.push_back({spec.zone()});
      row.push_back({spec.group()});
      const IpGroup* const group = FindGroup(groups, backend);
      row.push_back({group == nullptr ? "" : IpOf(backend.address())});
      row.push_back({group == nullptr ? "" : fmt::to_string(group->sessions)});
      row.push_back({TagsText(spec)});
      row.push_back({TimeLeft(status, now)});
      row.push_back({Age(status, now)});
      row.push_back({fmt::to_string(backend.revision())});
      row.push_back({backend.override().set_by()});
      row.push_back({OverrideLeft(backend, now)});
      row.push_back({backend.override().reason()});
    }
    table.AddRow(std::move(row));
  }
  return table;
}

Table HealthTable(const pb::State& state, absl::Time now) {
  Table table({"POOL", "ADDRESS", "STATE", "HEALTH", "REASON", "PROBED", "LATENCY", "OK/FAILED",
               "CHANGES", "EJECTED", "WHY", "DETAIL"});
  const auto since = [now](const google::protobuf::Timestamp& time) {
    return DurationText(std::max(now - FromProto(time), absl::ZeroDuration()));
  };
  for (const pb::Backend& backend : state.backends()) {
    const pb::BackendStatus& status = backend.status();
    const absl::Time ejected_until = FromProto(status.ejected_until());
    const bool is_ejected = status.has_ejected_until() && ejected_until > now;
    table.AddRow(
        {{backend.pool()},
         {backend.address()},
         StateCell(status),
         HealthCell(status),
         {ReasonWord(status)},
         {status.has_last_probe_time() ? since(status.last_probe_time()) : ""},
         {status.has_last_probe_latency() ? LatencyText(FromProto(status.last_probe_latency()))
                                          : ""},
         {fmt::format("{}/{}", status.consecutive_ok(), status.consecutive_failed()),
          status.consecutive_failed() > 0 ? Tone::kCareful : Tone::kPlain},
         {fmt::to_string(status.transitions())},
         {is_ejected ? DurationText(ejected_until - now) : "", Tone::kBad},
         {WhyIneligible(status)},
         {status.detail()}});
  }
  return table;
}

std::string ReasonWord(const pb::BackendStatus& status) {
  if (status.reason() == pb::HEALTH_REASON_UNSPECIFIED) return "";
  return OrUnknown(Word(pb::HealthReason_Name(status.reason()), "HEALTH_REASON_"));
}

std::string OverrideLeft(const pb::Backend& backend, absl::Time now) {
  if (!backend.override().has_expire_time()) return "";
  const absl::Duration left = FromProto(backend.override().expire_time()) - now;
  return DurationText(std::max(left, absl::ZeroDuration()));
}

std::string OverrideText(const pb::Backend& backend) {
  if (!backend.has_override()) return "";
  const pb::Override& imposed = backend.override();
  std::vector<std::string> parts;
  if (imposed.admin_state() != pb::ADMIN_STATE_UNSPECIFIED) {
    parts.push_back(Word(pb::AdminState_Name(imposed.admin_state()), "ADMIN_STATE_"));
  }
  if (imposed.health() != pb::HEALTH_OVERRIDE_UNSPECIFIED) {
    parts.push_back(Word(pb::HealthOverride_Name(imposed.health()), "HEALTH_OVERRIDE_"));
  }
  if (imposed.has_weight()) parts.push_back(fmt::format("weight={}", imposed.weight()));
  return fmt::format("{}", fmt::join(parts, ","));
}

Table::Cell StateCell(const pb::BackendStatus& status) {
  Tone tone = Tone::kCareful;
  if (status.state() == pb::BACKEND_STATE_SERVING) tone = Tone::kGood;
  if (status.state() == pb::BACKEND_STATE_UNHEALTHY) tone = Tone::kBad;
  if (status.state() == pb::BACKEND_STATE_UNSPECIFIED) return {"unknown"};
  return {OrUnknown(Word(pb::BackendState_Name(status.state()), "BACKEND_STATE_")), tone};
}

Table::Cell HealthCell(const pb::BackendStatus& status) {
  if (status.health() == pb::HEALTH_HEALTHY) return {"healthy", Tone::kGood};
  if (status.health() == pb::HEALTH_UNHEALTHY) return {"unhealthy", Tone::kBad};
  return {"unknown"};
}

Table::Cell ListenerStateCell(const pb::Listener& listener) {
  if (listener.disabled()) return {"disabled", Tone::kCareful};
  if (!listener.status().error().empty()) return {"failed", Tone::kBad};
  if (listener.status().bound()) return {"bound", Tone::kGood};
  return {"unbound", Tone::kBad};
}

std::string ModeWord(pb::Mode mode) {
  if (mode == pb::MODE_UNSPECIFIED) return "round-robin";
  return OrUnknown(Word(pb::Mode_Name(mode), "MODE_"));
}

uint32_t WeightOf(const pb::Backend& backend) {
  if (backend.status().effective_weight() > 0) return backend.status().effective_weight();
  if (backend.override().has_weight()) return backend.override().weight();
  return backend.effective().has_weight() ? backend.effective().weight() : kDefaultWeight;
}

std::string WhyIneligible(const pb::BackendStatus& status) {
  if (status.ineligible_reason() == pb::INELIGIBLE_REASON_UNSPECIFIED) return "";
  return OrUnknown(
      Word(pb::IneligibleReason_Name(status.ineligible_reason()), "INELIGIBLE_REASON_"));
}

std::string TagsText(const pb::BackendSpec& spec) {
  std::vector<std::string> tags;
  for (const auto& [key, value] : std::map(spec.tags().begin(), spec.tags().end())) {
    tags.push_back(fmt::format("{}={}", key, value));
  }
  return fmt::format("{}", fmt::join(tags, ","));
}

std::string DurationText(absl::Duration duration) {
  if (duration >= absl::Seconds(1)) duration = absl::Trunc(duration, absl::Seconds(1));
  if (duration < absl::Seconds(1)) duration = absl::Trunc(duration, absl::Milliseconds(1));
  return absl::FormatDuration(duration);
}

std::string LatencyText(absl::Duration latency) {
  if (latency >= absl::Seconds(1))
    return absl::FormatDuration(absl::Trunc(latency, absl::Milliseconds(10)));
  if (latency >= absl::Milliseconds(100))
    return absl::FormatDuration(absl::Trunc(latency, absl::Milliseconds(1)));
  if (latency >= absl::Milliseconds(1))
    return absl::FormatDuration(absl::Trunc(latency, absl::Microseconds(100)));
  return absl::FormatDuration(absl::Trunc(latency, absl::Microseconds(1)));
}

std::string DurationOr(bool is_set, const google::protobuf::Duration& duration,
                       std::string_view default_text) {
  return is_set ? DurationText(FromProto(duration)) : fmt::format("{}(default)", default_text);
}

std::string DrainText(const pb::Drain& drain, std::string_view default_timeout) {
  const bool is_kept = drain.on_timeout() == pb::DRAIN_ACTION_KEEP;
  return fmt::format("{},{}", DurationOr(drain.has_timeout(), drain.timeout(), default_timeout),
                     is_kept ? "keep" : "reset");
}

}  // namespace sidelb::client
