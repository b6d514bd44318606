#include "client/cli/values.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#include <charconv>
#include <cstring>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "fmt/format.h"
#include "sidelb/v1/control.pb.h"

namespace sidelb::client {
namespace {

constexpr absl::Duration kMaxDuration = absl::Hours(24 * 10'000);

absl::Status Invalid(std::string_view text, std::string_view why) {
  return absl::InvalidArgumentError(fmt::format("\"{}\" {}", text, why));
}

absl::Status InvalidAddress(std::string_view text, std::string_view why) {
  return Invalid(text,
                 fmt::format("{}; allowed: IP:PORT, as in 192.0.2.1:80 or [2001:db8::1]:80", why));
}

// The enumerator that `text` names, all of them but 0 being allowed.
template <typename Enum>
absl::StatusOr<Enum> ParseEnum(std::string_view text, std::string_view prefix,
                               const google::protobuf::EnumDescriptor* descriptor) {
  std::string allowed;
  for (int i = 0; i < descriptor->value_count(); ++i) {
    const auto* value = descriptor->value(i);
    if (value->number() == 0) continue;
    const std::string word = Word(value->name(), prefix);
    if (word == text) return static_cast<Enum>(value->number());
    if (!allowed.empty()) allowed += ", ";
    allowed += word;
  }
  return Invalid(text, fmt::format("is not allowed; allowed: {}", allowed));
}

}  // namespace

absl::StatusOr<absl::Duration> ParseDuration(std::string_view text) {
  constexpr std::string_view kAllowed = "; write it like 250ms, 30s, 5m or 1h30m";
  absl::Duration duration;
  if (!absl::ParseDuration(std::string(text), &duration)) {
    return Invalid(text, fmt::format("is not a duration{}", kAllowed));
  }
  if (duration < absl::ZeroDuration()) {
    return Invalid(text, fmt::format("is a negative duration{}", kAllowed));
  }
  if (duration > kMaxDuration) {
    return Invalid(text, fmt::format("is too long, at most 240000h{}", kAllowed));
  }
  return duration;
}

absl::StatusOr<pb::Mode> ParseMode(std::string_view text) {
  std::string plain;
  for (char c : text) {
    if (c != '_' && c != '-') plain += absl::ascii_tolower(static_cast<unsigned char>(c));
  }
  if (plain == "roundrobin" || plain == "rr") return pb::MODE_ROUND_ROBIN;
  if (plain == "leastconnections" || plain == "leastconn") return pb::MODE_LEAST_CONNECTIONS;
  if (plain == "sourcehash" || plain == "source") return pb::MODE_SOURCE_HASH;
  return ParseEnum<pb::Mode>(plain.empty() ? text : plain, "MODE_", pb::Mode_descriptor());
}

absl::StatusOr<pb::HashKey> ParseHashKey(std::string_view text) {
  return ParseEnum<pb::HashKey>(text, "HASH_KEY_", pb::HashKey_descriptor());
}

absl::StatusOr<std::string> ParseAddress(std::string_view text, PortZero port_zero) {
  // inet_pton() would stop there and take what stands before it.
  if (text.find('\0') != std::string_view::npos) {
    return InvalidAddress(text, "has a zero byte in it");
  }
  const size_t colon = text.rfind(':');
  if (colon == std::string_view::npos || text.ends_with(']')) {
    return InvalidAddress(text, "has no port");
  }
  const uint64_t lowest = port_zero == PortZero::kAllowed ? 0 : 1;
  const auto port = ParseNumber(text.substr(colon + 1), lowest, 65'535);
  if (!port.ok()) {
    return InvalidAddress(text, fmt::format("has no port from {} to 65535", lowest));
  }
  const std::string_view host = text.substr(0, colon);
  char canonical[INET6_ADDRSTRLEN] = "";
  if (host.starts_with('[') && host.ends_with(']')) {
    in6_addr v6;
    if (inet_pton(AF_INET6, std::string(host.substr(1, host.size() - 2)).c_str(), &v6) != 1) {
      return InvalidAddress(text, "is not an IPv6 address");
    }
    if (IN6_IS_ADDR_V4MAPPED(&v6)) {  // one backend has one name
      inet_ntop(AF_INET, v6.s6_addr + 12, canonical, sizeof(canonical));
      return fmt::format("{}:{}", canonical, *port);
    }
    inet_ntop(AF_INET6, &v6, canonical, sizeof(canonical));
    return fmt::format("[{}]:{}", canonical, *port);
  }
  if (host.find(':') != std::string_view::npos) {
    return InvalidAddress(text, "is an IPv6 address without brackets");
  }
  in_addr v4;
  if (inet_pton(AF_INET, std::string(host).c_str(), &v4) != 1) {
    return InvalidAddress(text, "is not an IP address (host names are not resolved)");
  }
  inet_ntop(AF_INET, &v4, canonical, sizeof(canonical));
  return fmt::format("{}:{}", canonical, *port);
}

bool LooksLikeAddress(std::string_view text) {
  // A name is [a-z0-9-]{1,63}.
  return text.find_first_of(".:[]") != std::string_view::npos;
}

absl::StatusOr<std::pair<std::string, std::string>> ParseTag(std::string_view text) {
  const size_t equals = text.find('=');
  if (equals == std::string_view::npos || equals == 0) {
    return Invalid(text, "is not a tag; allowed: KEY=VALUE");
  }
  return std::pair(std::string(text.substr(0, equals)), std::string(text.substr(equals + 1)));
}

absl::StatusOr<uint64_t> ParseNumber(std::string_view text, uint64_t low, uint64_t high) {
  uint64_t value = 0;
  const char* const end = text.data() + text.size();
  const auto [parsed, error] = std::from_chars(text.data(), end, value);
  if (text.empty() || error != std::errc() || parsed != end || value < low || value > high) {
    return Invalid(text, fmt::format("is not a number from {} to {}", low, high));
  }
  return value;
}

absl::StatusOr<pb::DrainAction> ParseDrainAction(std::string_view text) {
  return ParseEnum<pb::DrainAction>(text, "DRAIN_ACTION_", pb::DrainAction_descriptor());
}

absl::StatusOr<pb::ProbeKind> ParseProbeKind(std::string_view text) {
  return ParseEnum<pb::ProbeKind>(text, "PROBE_KIND_", pb::ProbeKind_descriptor());
}

absl::StatusOr<pb::OnUnhealthy> ParseOnUnhealthy(std::string_view text) {
  return ParseEnum<pb::OnUnhealthy>(text, "ON_UNHEALTHY_", pb::OnUnhealthy_descriptor());
}

absl::StatusOr<pb::UdpPolicy> ParseUdpPolicy(std::string_view text) {
  return ParseEnum<pb::UdpPolicy>(text, "UDP_POLICY_", pb::UdpPolicy_descriptor());
}

absl::StatusOr<std::string> ParseBytes(std::string_view text) {
  std::string bytes;
  if (!absl::CUnescape(std::string(text), &bytes)) {
    return Invalid(text, "has a wrong escape; allowed: \\r, \\n, \\t, \\\\, \\xHH");
  }
  return bytes;
}

absl::StatusOr<pb::BackendState> ParseBackendState(std::string_view text) {
  return ParseEnum<pb::BackendState>(text, "BACKEND_STATE_", pb::BackendState_descriptor());
}

absl::StatusOr<pb::RecordType> ParseRecordType(std::string_view text) {
  return ParseEnum<pb::RecordType>(text, "RECORD_TYPE_", pb::RecordType_descriptor());
}

absl::StatusOr<pb::Protocol> ParseProtocol(std::string_view text) {
  return ParseEnum<pb::Protocol>(text, "PROTOCOL_", pb::Protocol_descriptor());
}

std::string Word(std::string_view enumerator, std::string_view prefix) {
  if (enumerator.starts_with(prefix)) enumerator.remove_prefix(prefix.size());
  std::string word;
  for (char c : enumerator) {
    word += c == '_' ? '-' : absl::ascii_tolower(static_cast<unsigned char>(c));
  }
  return word;
}

google::protobuf::Duration ToProto(absl::Duration duration) {
  google::protobuf::Duration proto;
  proto.set_seconds(absl::IDivDuration(duration, absl::Seconds(1), &duration));
  proto.set_nanos(static_cast<int32_t>(absl::ToInt64Nanoseconds(duration)));
  return proto;
}

absl::Duration FromProto(const google::protobuf::Duration& duration) {
  return absl::Seconds(duration.seconds()) + absl::Nanoseconds(duration.nanos());
}

absl::Time FromProto(const google::protobuf::Timestamp& time) {
  return absl::FromUnixSeconds(time.seconds()) + absl::Nanoseconds(time.nanos());
}

}  // namespace sidelb::client
