#include "server/control/validate.h"

#include <algorithm>
#include <set>
#include <utility>

#include "dataplane/pool/maglev.h"
#include "fmt/format.h"
#include "server/control/desired_state.h"
#include "server/control/errors.h"

namespace sidelb::control {
namespace {

constexpr absl::Duration kMaxDuration = absl::Hours(24 * 365);

bool IsNameByte(char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-'; }

bool IsPrime(uint32_t number) {
  for (uint32_t divisor = 2; divisor * divisor <= number; ++divisor) {
    if (number % divisor == 0) return false;
  }
  return number >= 2;
}

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
  const bool is_built_in = !request.owner.starts_with("api:") && request.is_provider;
  return is_built_in ? absl::OkStatus() : ValidateApiOwner(request.owner);
}

absl::Status ValidateApiOwner(std::string_view whole, std::string_view path) {
  std::string_view owner = whole;
  if (!owner.starts_with("api:")) {
    if (owner == "static" || owner.starts_with("ring:") || owner.starts_with("xds:")) {
      return MakeError(
          absl::StatusCode::kFailedPrecondition,
          fmt::format("{}: '{}' is built in; the API may only act as api:NAME", path, owner),
          {.reason = "OWNER_READ_ONLY", .metadata = {{"owner", std::string(owner)}}});
    }
    return BadField(path, fmt::format("'{}'; allowed: api:NAME", owner));
  }
  owner.remove_prefix(4);
  const bool good = std::all_of(owner.begin(), owner.end(), [](char c) {
    return IsNameByte(c) || (c >= 'A' && c <= 'Z') || c == '.' || c == '_' || c == '/';
  });
  if (owner.empty() || owner.size() > 63 || !good) {
    return BadField(path, fmt::format("'{}'; allowed: api: and 1 to 63 of a-z, A-Z, 0-9, "
                                      "- . _ and /",
                                      whole));
  }
  return absl::OkStatus();
}

std::string WrongDomain(std::string_view domain) {
  constexpr std::string_view kAllowed = "; allowed: a host name, as in web.example";
  const std::string written = fmt::format("'{}'", domain);
  if (domain.ends_with('.')) domain.remove_suffix(1);
  if (domain.empty()) return fmt::format("{}{}", written, kAllowed);
  if (domain.size() > 253) {
    return fmt::format("{} bytes; allowed: at most 253", domain.size());
  }
  bool has_letter = false;
  size_t label = 0;
  for (const char c : domain) {
    const bool is_letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
    has_letter = has_letter || is_letter;
    if (c == '.' && label > 0) {
      label = 0;
    } else if ((is_letter || (c >= '0' && c <= '9') || c == '-' || c == '_') && label < 63) {
      ++label;
    } else {
      return fmt::format("{}{}", written, kAllowed);
    }
  }
  // Digits and dots only, or an IPv6 address (which has colons): an address.
  if (!has_letter) return fmt::format("{} is no host name{}", written, kAllowed);
  return label > 0 ? "" : fmt::format("{}{}", written, kAllowed);
}

absl::Status ValidateRingDomains(const std::vector<RingDomainSpec>& domains,
                                 const std::string& path) {
  if (domains.size() > kMaxRingDomains) {
    return BadField(
        path, fmt::format("{} domains; allowed: at most {}", domains.size(), kMaxRingDomains));
  }
  std::set<std::string> names;
  for (size_t i = 0; i < domains.size(); ++i) {
    const RingDomainSpec& spec = domains[i];
    const std::string one = fmt::format("{}[{}]", path, i);
    if (const std::string wrong = WrongDomain(spec.domain); !wrong.empty()) {
      return BadField(one + ".domain", wrong);
    }
    std::string name = spec.domain;
    std::transform(name.begin(), name.end(), name.begin(),
                   [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
    if (name.ends_with('.')) name.pop_back();
    // Its claims would have one owner, and each would take away those of the other.
    if (!names.insert(name).second) {
      return BadField(one + ".domain",
                      fmt::format("'{}' is named twice; allowed: once in a pool", spec.domain));
    }
    if (EffectiveRecordType(spec) == RecordType::kSrv) {
      if (spec.port != 0) {
        return BadField(one + ".port",
                        fmt::format("{}; allowed: 0, because SRV records bring it", spec.port));
      }
    } else if (spec.port < 1 || spec.port > 65'535) {
      return BadField(one + ".port", fmt::format("{}; allowed: 1 to 65535", spec.port));
    }
    const std::pair<const std::optional<absl::Duration>&, const char*> bounds[] = {
        {spec.min_ttl, ".min_ttl"}, {spec.max_ttl, ".max_ttl"}};
    for (const auto& [bound, name_of] : bounds) {
      if (bound && (*bound < absl::Milliseconds(10) || *bound > absl::Hours(24))) {
        return BadField(one + name_of,
                        fmt::format("{}; allowed: 10ms to 24h", absl::FormatDuration(*bound)));
      }
    }
    if (EffectiveMinTtl(spec) > EffectiveMaxTtl(spec)) {
      return BadField(one + ".min_ttl", fmt::format("{} is more than max_ttl, {}",
                                                    absl::FormatDuration(EffectiveMinTtl(spec)),
                                                    absl::FormatDuration(EffectiveMaxTtl(spec))));
    }
    if (!spec.defaults.has_value()) continue;
    const std::string defaults = one + ".defaults";
    if (spec.defaults->address.is_specified()) {
      return BadField(defaults + ".address", "set; allowed: empty, because the records say it");
    }
    if (spec.defaults->probe_address.has_value()) {
      return BadField(defaults + ".probe_address",
                      "set; allowed: empty, because one cannot stand for all backends found");
    }
    if (auto status = ValidateAttributes(*spec.defaults, defaults); !status.ok()) return status;
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

absl::Status ValidateHashTableSize(const std::optional<uint32_t>& size, std::string_view path) {
  if (!size.has_value()) return absl::OkStatus();
  const bool is_within = *size >= kMinMaglevTable && *size <= kMaxMaglevTable;
  if (is_within && IsPrime(*size)) return absl::OkStatus();
  uint32_t next = std::clamp(*size, kMinMaglevTable, kMaxMaglevTable);  // both are prime
  while (!IsPrime(next)) ++next;
  return BadField(path, fmt::format("{}; allowed: a prime from {} to {}, {} for example", *size,
                                    kMinMaglevTable, kMaxMaglevTable, next));
}

absl::Status ValidatePool(const PoolSpec& spec, const std::string& path) {
  if (auto status = ValidateName(spec.name, path + ".name"); !status.ok()) return status;
  if (auto status = ValidateHashTableSize(spec.hash_table_size, path + ".hash_table_size");
      !status.ok()) {
    return status;
  }
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
  auto status = ValidateRingDomains(spec.ring_domains, path + ".ring_domains");
  if (!status.ok()) return status;
  status = ValidateDuration(spec.ejection_time, false, path + ".ejection_time");
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

absl::Status ValidateOverrideTtl(absl::Duration ttl, std::string_view path) {
  constexpr absl::Duration kLeast = absl::Milliseconds(100), kMost = absl::Hours(24 * 365);
  if (ttl == absl::ZeroDuration() || (ttl >= kLeast && ttl <= kMost)) return absl::OkStatus();
  return BadField(
      path, fmt::format("{}; allowed: {} to {}, or 0s for without end", absl::FormatDuration(ttl),
                        absl::FormatDuration(kLeast), absl::FormatDuration(kMost)));
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
  return ValidateAttributes(spec, path);
}

absl::Status ValidateAttributes(const BackendSpec& spec, const std::string& path) {
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
