#include "server/control/validate.h"

#include <algorithm>

#include "fmt/format.h"
#include "server/control/errors.h"

namespace sidelb::control {
namespace {

constexpr absl::Duration kMaxDuration = absl::Hours(24 * 365);

bool IsNameByte(char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-'; }

// An address to listen on, but none to connect to.
bool IsWildcard(const Address& address) {
  const std::string host = address.Host();
  return host == "0.0.0.0" || host == "::";
}

// 0 s means off where `may_be_off`.
absl::Status ValidateDuration(const std::optional<absl::Duration>& duration, bool may_be_off,
                              std::string_view path) {
  if (!duration.has_value()) return absl::OkStatus();
  const absl::Duration least = may_be_off ? absl::ZeroDuration() : absl::Milliseconds(1);
  const bool is_off = may_be_off && *duration == absl::ZeroDuration();
  if (*duration < least || *duration > kMaxDuration ||
      (!is_off && *duration < absl::Milliseconds(1))) {
    return BadField(path, fmt::format("{}; allowed: {}1ms to 8760h",
                                      absl::FormatDuration(*duration), may_be_off ? "0s or " : ""));
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status NotBuilt(std::string_view path, std::string_view what) {
  return MakeError(absl::StatusCode::kUnimplemented,
                   fmt::format("{}: {} is not available in this version", path, what),
                   {.reason = "CAPABILITY",
                    .metadata = {{"field", std::string(path)}},
                    .violations = {{std::string(path), "not available in this version"}}});
}

absl::Status ValidateText(std::string_view text, std::string_view path) {
  if (text.size() > kMaxText) {
    return BadField(path, fmt::format("{} bytes; allowed: at most {}", text.size(), kMaxText));
  }
  // They would break the lines of the log and of tables.
  const auto control = std::find_if(text.begin(), text.end(), [](char c) {
    return static_cast<unsigned char>(c) < 0x20 || static_cast<unsigned char>(c) == 0x7f;
  });
  if (control == text.end()) return absl::OkStatus();
  return BadField(path, fmt::format("has the control character {:#04x}; allowed: none",
                                    static_cast<unsigned char>(*control)));
}

absl::Status ValidateName(std::string_view name, std::string_view path) {
  if (name.empty() || name.size() > 63 || !std::all_of(name.begin(), name.end(), IsNameByte)) {
    return BadField(path, fmt::format("'{}'; allowed: 1 to 63 of a-z, 0-9 and -", name));
  }
  return absl::OkStatus();
}

absl::Status ValidateOwner(const ApplyRequest& request) {
  std::string_view owner = request.owner;
  if (!owner.starts_with("api:")) {
    if (request.is_provider) return absl::OkStatus();
    if (owner == "static" || owner.starts_with("ring:") || owner.starts_with("xds:")) {
      return MakeError(
          absl::StatusCode::kFailedPrecondition,
          fmt::format("owner: '{}' is built in; the API may only act as api:NAME", owner),
          {.reason = "OWNER_READ_ONLY", .metadata = {{"owner", std::string(owner)}}});
    }
    return BadField("owner", fmt::format("'{}'; allowed: api:NAME", owner));
  }
  owner.remove_prefix(4);
  const bool good = std::all_of(owner.begin(), owner.end(), [](char c) {
    return IsNameByte(c) || (c >= 'A' && c <= 'Z') || c == '.' || c == '_' || c == '/';
  });
  if (owner.empty() || owner.size() > 63 || !good) {
    return BadField("owner", fmt::format("'{}'; allowed: api: and 1 to 63 of a-z, A-Z, 0-9, "
                                         "- . _ and /",
                                         request.owner));
  }
  return absl::OkStatus();
}

absl::Status ValidateListener(const ListenerSpec& spec, const std::string& path) {
  if (auto status = ValidateName(spec.name, path + ".name"); !status.ok()) return status;
  if (!spec.address.is_specified()) {
    return BadField(path + ".address", "''; allowed: IP:PORT, as in 0.0.0.0:80 or [::]:80");
  }
  if (auto status = ValidateName(spec.pool, path + ".pool"); !status.ok()) return status;
  if (spec.connect_attempts.has_value() &&
      (*spec.connect_attempts < 1 || *spec.connect_attempts > 8)) {
    return BadField(path + ".connect_attempts",
                    fmt::format("{}; allowed: 1 to 8", *spec.connect_attempts));
  }
  const struct {
    const std::optional<absl::Duration>& value;
    bool may_be_off;
    const char* name;
  } durations[] = {{spec.connect_timeout, true, ".connect_timeout"},
                   {spec.idle_timeout, true, ".idle_timeout"},
                   {spec.half_close_timeout, true, ".half_close_timeout"},
                   {spec.udp_session_timeout, true, ".udp_session_timeout"},
                   {spec.udp_unanswered_timeout, true, ".udp_unanswered_timeout"}};
  for (const auto& duration : durations) {
    auto status = ValidateDuration(duration.value, duration.may_be_off, path + duration.name);
    if (!status.ok()) return status;
  }
  if (!spec.keepalive.has_value()) return absl::OkStatus();
  const KeepaliveSpec& keepalive = *spec.keepalive;
  const auto whole_seconds = [&](const std::optional<absl::Duration>& value, bool may_be_off,
                                 const std::string& name) -> absl::Status {
    if (!value.has_value()) return absl::OkStatus();
    const bool good = *value >= absl::Seconds(may_be_off ? 0 : 1) &&
                      *value <= absl::Seconds(32'767) &&
                      absl::Trunc(*value, absl::Seconds(1)) == *value;
    if (good) return absl::OkStatus();
    return BadField(name, fmt::format("{}; allowed: {} to 32767 whole seconds",
                                      absl::FormatDuration(*value), may_be_off ? 0 : 1));
  };
  if (auto status = whole_seconds(keepalive.idle, true, path + ".keepalive.idle"); !status.ok()) {
    return status;
  }
  if (auto status = whole_seconds(keepalive.interval, false, path + ".keepalive.interval");
      !status.ok()) {
    return status;
  }
  if (keepalive.count.has_value() && (*keepalive.count < 1 || *keepalive.count > 127)) {
    return BadField(path + ".keepalive.count",
                    fmt::format("{}; allowed: 1 to 127", *keepalive.count));
  }
  return absl::OkStatus();
}

absl::Status ValidateHealthCheck(const HealthCheckSpec& spec, const std::string& path) {
  if (auto status = ValidateDuration(spec.interval, false, path + ".interval"); !status.ok()) {
    return status;
  }
  if (auto status = ValidateDuration(spec.timeout, false, path + ".timeout"); !status.ok()) {
    return status;
  }
  if (spec.interval.has_value() && *spec.interval < absl::Milliseconds(10)) {
    return BadField(path + ".interval", fmt::format("{}; allowed: at least 10ms",
                                                    absl::FormatDuration(*spec.interval)));
  }
  const std::pair<const std::optional<uint32_t>&, const char*> counts[] = {{spec.rise, ".rise"},
                                                                           {spec.fall, ".fall"}};
  for (const auto& [count, name] : counts) {
    if (count.has_value() && (*count < 1 || *count > 100)) {
      return BadField(path + name, fmt::format("{}; allowed: 1 to 100", *count));
    }
  }
  if (spec.port > 65'535) {
    return BadField(path + ".port", fmt::format("{}; allowed: 0 to 65535", spec.port));
  }
  if (spec.send.size() > kMaxProbeBytes || spec.expect.size() > kMaxProbeBytes) {
    return BadField(path + (spec.send.size() > kMaxProbeBytes ? ".send" : ".expect"),
                    fmt::format("too long; allowed: at most {} bytes", kMaxProbeBytes));
  }
  const bool talks =
      spec.kind == HealthCheckKind::kSendExpect || spec.kind == HealthCheckKind::kUdp;
  if (talks && spec.expect.empty()) {
    return BadField(path + ".expect", "empty; allowed: what the answer must begin with");
  }
  if (!talks && !(spec.send.empty() && spec.expect.empty())) {
    return BadField(path + (spec.send.empty() ? ".expect" : ".send"),
                    "set; allowed: only with kind SEND_EXPECT or UDP");
  }
  return absl::OkStatus();
}

absl::Status ValidatePool(const PoolSpec& spec, const std::string& path) {
  if (auto status = ValidateName(spec.name, path + ".name"); !status.ok()) return status;
  if (spec.health_check.has_value()) {
    auto status = ValidateHealthCheck(*spec.health_check, path + ".health_check");
    if (!status.ok()) return status;
  }
  if (spec.panic_percent > 100) {
    return BadField(path + ".panic_percent",
                    fmt::format("{}; allowed: 0 to 100", spec.panic_percent));
  }
  if (spec.max_ejection_percent.value_or(0) > 100) {
    return BadField(path + ".max_ejection_percent",
                    fmt::format("{}; allowed: 0 to 100", *spec.max_ejection_percent));
  }
  auto status = ValidateDuration(spec.ejection_time, false, path + ".ejection_time");
  if (!status.ok()) return status;
  status = ValidateDuration(spec.slow_start, true, path + ".slow_start");
  if (!status.ok()) return status;
  status = ValidateDuration(spec.max_ejection_time, false, path + ".max_ejection_time");
  if (!status.ok()) return status;
  return spec.drain.has_value() ? ValidateDrain(*spec.drain, path + ".drain") : absl::OkStatus();
}

absl::Status ValidateDrain(const DrainSpec& drain, const std::string& path) {
  return ValidateDuration(drain.timeout, true, path + ".timeout");
}

absl::Status ValidateWeight(uint32_t weight, std::string_view path) {
  if (weight > kMaxWeight) {
    return BadField(path, fmt::format("{}; allowed: 0 to {}", weight, kMaxWeight));
  }
  return absl::OkStatus();
}

absl::Status ValidateBackend(const BackendSpec& spec, const std::string& path) {
  if (!spec.address.is_specified() || spec.address.port() == 0) {
    return BadField(
        path + ".address",
        fmt::format("'{}'; allowed: IP:PORT with a port of 1 to 65535", spec.address.ToString()));
  }
  if (IsWildcard(spec.address)) {
    return BadField(path + ".address",
                    fmt::format("'{}'; allowed: the address of one host", spec.address.ToString()));
  }
  if (spec.weight.has_value()) {
    if (auto status = ValidateWeight(*spec.weight, path + ".weight"); !status.ok()) return status;
  }
  if (spec.priority > kMaxPriority) {
    return BadField(path + ".priority",
                    fmt::format("{}; allowed: 0 to {}", spec.priority, kMaxPriority));
  }
  if (spec.probe_address.has_value() && spec.probe_address->port() == 0) {
    return BadField(path + ".probe_address",
                    fmt::format("'{}'; allowed: IP:PORT", spec.probe_address->ToString()));
  }
  if (auto status = ValidateText(spec.zone, path + ".zone"); !status.ok()) return status;
  if (auto status = ValidateText(spec.group, path + ".group"); !status.ok()) return status;
  if (spec.tags.size() > kMaxTags) {
    return BadField(path + ".tags",
                    fmt::format("{} tags; allowed: at most {}", spec.tags.size(), kMaxTags));
  }
  for (const auto& [key, value] : spec.tags) {
    if (key.empty()) return BadField(path + ".tags", "an empty key; allowed: 1 to 256 bytes");
    if (auto status = ValidateText(key, path + ".tags"); !status.ok()) return status;
    if (auto status = ValidateText(value, path + ".tags"); !status.ok()) return status;
  }
  return absl::OkStatus();
}

absl::Status ValidateSelector(const Selector& selector, const std::string& path) {
  for (size_t i = 0; i < selector.addresses.size(); ++i) {
    if (selector.addresses[i].port() == 0) {
      return BadField(fmt::format("{}.addresses[{}]", path, i),
                      fmt::format("'{}'; allowed: IP:PORT", selector.addresses[i].ToString()));
    }
  }
  return absl::OkStatus();
}

}  // namespace sidelb::control
