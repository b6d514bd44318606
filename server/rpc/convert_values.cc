#include "server/rpc/convert_values.h"

#include <google/protobuf/descriptor.h>
#include <google/protobuf/generated_enum_reflection.h>

#include <algorithm>
#include <array>
#include <utility>

#include "fmt/format.h"
#include "server/control/errors.h"
#include "server/rpc/status.h"

namespace sidelb::rpc {
namespace {

// Years 1 to 9999, all that a Timestamp may hold.
constexpr int64_t kFirstSecond = -62'135'596'800, kLastSecond = 253'402'300'799;
// Of google.protobuf.Duration, as its documentation says: about 10 000 years.
constexpr int64_t kMaxDurationSeconds = 315'576'000'000;
constexpr int32_t kNanosPerSecond = 1'000'000'000;

// One enumeration on both sides, for both directions.
template <typename Proto, typename Model, size_t kSize>
using Pairs = std::array<std::pair<Proto, Model>, kSize>;

constexpr Pairs<pb::Protocol, control::Protocol, 2> kProtocols{{
    {pb::PROTOCOL_TCP, control::Protocol::kTcp},
    {pb::PROTOCOL_UDP, control::Protocol::kUdp},
}};
constexpr Pairs<pb::Mode, Mode, 6> kModes{{
    {pb::MODE_ROUND_ROBIN, Mode::kRoundRobin},
    {pb::MODE_LEAST_CONNECTIONS, Mode::kLeastConnections},
    {pb::MODE_P2C, Mode::kP2c},
    {pb::MODE_RANDOM, Mode::kRandom},
    {pb::MODE_SOURCE_HASH, Mode::kSourceHash},
    {pb::MODE_MAGLEV, Mode::kMaglev},
}};
constexpr Pairs<pb::HashKey, HashKey, 2> kHashKeys{{
    {pb::HASH_KEY_SOURCE_IP, HashKey::kSourceIp},
    {pb::HASH_KEY_SOURCE_IP_PORT, HashKey::kSourceIpPort},
}};
constexpr Pairs<pb::AdminState, AdminState, 3> kAdminStates{{
    {pb::ADMIN_STATE_ENABLED, AdminState::kEnabled},
    {pb::ADMIN_STATE_DRAINING, AdminState::kDraining},
    {pb::ADMIN_STATE_DISABLED, AdminState::kDisabled},
}};
constexpr Pairs<pb::DrainAction, control::DrainAction, 2> kDrainActions{{
    {pb::DRAIN_ACTION_RESET, control::DrainAction::kReset},
    {pb::DRAIN_ACTION_KEEP, control::DrainAction::kKeep},
}};
constexpr Pairs<pb::UdpPolicy, UdpPolicy, 4> kUdpPolicies{{
    {pb::UDP_POLICY_SESSION, UdpPolicy::kSession},
    {pb::UDP_POLICY_REQUEST_RESPONSE, UdpPolicy::kRequestResponse},
    {pb::UDP_POLICY_ONE_WAY, UdpPolicy::kOneWay},
    {pb::UDP_POLICY_PER_PACKET, UdpPolicy::kPerPacket},
}};
constexpr Pairs<pb::ProbeKind, control::HealthCheckKind, 4> kHealthCheckKinds{{
    {pb::PROBE_KIND_NONE, control::HealthCheckKind::kNone},
    {pb::PROBE_KIND_TCP_CONNECT, control::HealthCheckKind::kTcpConnect},
    {pb::PROBE_KIND_SEND_EXPECT, control::HealthCheckKind::kSendExpect},
    {pb::PROBE_KIND_UDP, control::HealthCheckKind::kUdp},
}};
constexpr Pairs<pb::RecordType, control::RecordType, 4> kRecordTypes{{
    {pb::RECORD_TYPE_A, control::RecordType::kA},
    {pb::RECORD_TYPE_AAAA, control::RecordType::kAaaa},
    {pb::RECORD_TYPE_A_AND_AAAA, control::RecordType::kAAndAaaa},
    {pb::RECORD_TYPE_SRV, control::RecordType::kSrv},
}};
constexpr Pairs<pb::OnUnhealthy, control::OnUnhealthy, 2> kOnUnhealthy{{
    {pb::ON_UNHEALTHY_KEEP, control::OnUnhealthy::kKeep},
    {pb::ON_UNHEALTHY_RESET, control::OnUnhealthy::kReset},
}};
constexpr Pairs<pb::HealthOverride, control::HealthOverride, 2> kHealthOverrides{{
    {pb::HEALTH_OVERRIDE_FORCE_HEALTHY, control::HealthOverride::kForceHealthy},
    {pb::HEALTH_OVERRIDE_FORCE_UNHEALTHY, control::HealthOverride::kForceUnhealthy},
}};
constexpr Pairs<pb::ExpiryAction, control::ExpiryAction, 3> kExpiryActions{{
    {pb::EXPIRY_ACTION_DRAIN, control::ExpiryAction::kDrain},
    {pb::EXPIRY_ACTION_REMOVE, control::ExpiryAction::kRemove},
    {pb::EXPIRY_ACTION_KEEP, control::ExpiryAction::kKeep},
}};
constexpr Pairs<pb::HealthReason, control::HealthReason, 14> kHealthReasons{{
    {pb::HEALTH_REASON_NOT_CHECKED, control::HealthReason::kNotChecked},
    {pb::HEALTH_REASON_INITIAL, control::HealthReason::kInitial},
    {pb::HEALTH_REASON_OK, control::HealthReason::kOk},
    {pb::HEALTH_REASON_REFUSED, control::HealthReason::kRefused},
    {pb::HEALTH_REASON_TIMEOUT, control::HealthReason::kTimeout},
    {pb::HEALTH_REASON_UNREACHABLE, control::HealthReason::kUnreachable},
    {pb::HEALTH_REASON_BAD_RESPONSE, control::HealthReason::kBadResponse},
    {pb::HEALTH_REASON_NO_REPLY, control::HealthReason::kNoReply},
    {pb::HEALTH_REASON_PASSIVE, control::HealthReason::kPassive},
    {pb::HEALTH_REASON_OVERRIDE, control::HealthReason::kOverride},
    {pb::HEALTH_REASON_GROUP_DOWN, control::HealthReason::kGroupDown},
    {pb::HEALTH_REASON_OWNER_DRAIN, control::HealthReason::kOwnerDrain},
    {pb::HEALTH_REASON_OWNER_EXPIRED, control::HealthReason::kOwnerExpired},
    {pb::HEALTH_REASON_INTERNAL, control::HealthReason::kInternal},
}};
constexpr Pairs<pb::WaitFor, control::WaitFor, 3> kWaits{{
    {pb::WAIT_FOR_COMMITTED, control::WaitFor::kCommitted},
    {pb::WAIT_FOR_APPLIED, control::WaitFor::kApplied},
    {pb::WAIT_FOR_DRAINED, control::WaitFor::kDrained},
}};
constexpr Pairs<pb::BackendState, control::BackendState, 6> kBackendStates{{
    {pb::BACKEND_STATE_WARMING, control::BackendState::kWarming},
    {pb::BACKEND_STATE_SERVING, control::BackendState::kServing},
    {pb::BACKEND_STATE_UNHEALTHY, control::BackendState::kUnhealthy},
    {pb::BACKEND_STATE_DRAINING, control::BackendState::kDraining},
    {pb::BACKEND_STATE_DISABLED, control::BackendState::kDisabled},
    {pb::BACKEND_STATE_REMOVING, control::BackendState::kRemoving},
}};
constexpr Pairs<pb::Health, Health, 3> kHealths{{
    {pb::HEALTH_UNKNOWN, Health::kUnknown},
    {pb::HEALTH_HEALTHY, Health::kHealthy},
    {pb::HEALTH_UNHEALTHY, Health::kUnhealthy},
}};
constexpr Pairs<pb::IneligibleReason, IneligibleReason, 9> kIneligibleReasons{{
    {pb::INELIGIBLE_REASON_UNSPECIFIED, IneligibleReason::kNone},
    {pb::INELIGIBLE_REASON_DISABLED, IneligibleReason::kDisabled},
    {pb::INELIGIBLE_REASON_DRAINING, IneligibleReason::kDraining},
    {pb::INELIGIBLE_REASON_REMOVED, IneligibleReason::kRemoved},
    {pb::INELIGIBLE_REASON_ZERO_WEIGHT, IneligibleReason::kZeroWeight},
    {pb::INELIGIBLE_REASON_FULL, IneligibleReason::kFull},
    {pb::INELIGIBLE_REASON_UNHEALTHY, IneligibleReason::kUnhealthy},
    {pb::INELIGIBLE_REASON_EJECTED, IneligibleReason::kEjected},
    {pb::INELIGIBLE_REASON_STANDBY, IneligibleReason::kStandby},
}};
constexpr Pairs<pb::ServerState, control::ServerState, 3> kServerStates{{
    {pb::SERVER_STATE_STARTING, control::ServerState::kStarting},
    {pb::SERVER_STATE_SERVING, control::ServerState::kServing},
    {pb::SERVER_STATE_DRAINING, control::ServerState::kDraining},
}};

template <typename Proto, typename Model, size_t kSize>
absl::StatusOr<std::optional<Model>> Lookup(const Pairs<Proto, Model, kSize>& pairs, Proto proto,
                                            const FieldPath& path) {
  if (static_cast<int>(proto) == 0) return std::optional<Model>();
  for (const auto& [from, to] : pairs) {
    if (from == proto) return std::optional<Model>(to);
  }
  return BadFieldAt(path,
                    fmt::format("{} is not a value that it knows; {}", static_cast<int>(proto),
                                AllowedValues(google::protobuf::GetEnumDescriptor<Proto>())));
}

// The model's values are all in the table; its test goes over each of them.
template <typename Proto, typename Model, size_t kSize>
Proto Reverse(const Pairs<Proto, Model, kSize>& pairs, Model model) {
  for (const auto& [to, from] : pairs) {
    if (from == model) return to;
  }
  return Proto{};
}

}  // namespace

absl::Status BadFieldAt(const FieldPath& path, std::string_view description) {
  return control::BadField(path.ToString(), description);
}

absl::StatusOr<absl::Duration> FromProto(const google::protobuf::Duration& proto,
                                         const FieldPath& path) {
  const int64_t seconds = proto.seconds();
  const int32_t nanos = proto.nanos();
  if (seconds < -kMaxDurationSeconds || seconds > kMaxDurationSeconds ||
      nanos <= -kNanosPerSecond || nanos >= kNanosPerSecond || (seconds > 0 && nanos < 0) ||
      (seconds < 0 && nanos > 0)) {
    return BadFieldAt(path, fmt::format("{} s and {} ns are no valid duration", seconds, nanos));
  }
  const absl::Duration duration = absl::Seconds(seconds) + absl::Nanoseconds(nanos);
  if (duration < absl::ZeroDuration()) {
    return BadFieldAt(path, fmt::format("{} is negative; allowed: 0s and longer",
                                        absl::FormatDuration(duration)));
  }
  return duration;
}

google::protobuf::Duration ToProto(absl::Duration duration) {
  const absl::Duration limit = absl::Seconds(kMaxDurationSeconds);
  duration = std::clamp(duration, -limit, limit);
  google::protobuf::Duration proto;
  proto.set_seconds(absl::IDivDuration(duration, absl::Seconds(1), &duration));
  proto.set_nanos(static_cast<int32_t>(absl::ToInt64Nanoseconds(duration)));
  return proto;
}

absl::StatusOr<absl::Time> FromProto(const google::protobuf::Timestamp& proto,
                                     const FieldPath& path) {
  const int64_t seconds = proto.seconds();
  const int32_t nanos = proto.nanos();
  if (seconds < kFirstSecond || seconds > kLastSecond || nanos < 0 || nanos >= kNanosPerSecond) {
    return BadFieldAt(path, fmt::format("{} s and {} ns are no valid time", seconds, nanos));
  }
  return absl::FromUnixSeconds(seconds) + absl::Nanoseconds(nanos);
}

google::protobuf::Timestamp ToProto(absl::Time time) {
  time = std::clamp(time, absl::FromUnixSeconds(kFirstSecond), absl::FromUnixSeconds(kLastSecond));
  google::protobuf::Timestamp proto;
  const int64_t seconds = absl::ToUnixSeconds(time);  // rounds down, so that nanos >= 0
  proto.set_seconds(seconds);
  proto.set_nanos(
      static_cast<int32_t>(absl::ToInt64Nanoseconds(time - absl::FromUnixSeconds(seconds))));
  return proto;
}

absl::StatusOr<Address> AddressFromProto(const std::string& text, const FieldPath& path) {
  absl::StatusOr<Address> address = Address::Parse(text);
  if (!address.ok()) return BadFieldAt(path, std::string(address.status().message()));
  return address;
}

absl::StatusOr<std::optional<control::Protocol>> FromProto(pb::Protocol proto,
                                                           const FieldPath& path) {
  return Lookup(kProtocols, proto, path);
}

absl::StatusOr<std::optional<Mode>> FromProto(pb::Mode proto, const FieldPath& path) {
  return Lookup(kModes, proto, path);
}

absl::StatusOr<std::optional<HashKey>> FromProto(pb::HashKey proto, const FieldPath& path) {
  if (proto == pb::HASH_KEY_FIVE_TUPLE) {
    return CapabilityError(path.ToString(), "HASH_KEY_FIVE_TUPLE is not supported by this version");
  }
  return Lookup(kHashKeys, proto, path);
}

absl::StatusOr<std::optional<AdminState>> FromProto(pb::AdminState proto, const FieldPath& path) {
  return Lookup(kAdminStates, proto, path);
}

absl::StatusOr<std::optional<control::DrainAction>> FromProto(pb::DrainAction proto,
                                                              const FieldPath& path) {
  return Lookup(kDrainActions, proto, path);
}

absl::StatusOr<std::optional<control::WaitFor>> FromProto(pb::WaitFor proto,
                                                          const FieldPath& path) {
  return Lookup(kWaits, proto, path);
}

absl::StatusOr<std::optional<control::BackendState>> FromProto(pb::BackendState proto,
                                                               const FieldPath& path) {
  return Lookup(kBackendStates, proto, path);
}

absl::StatusOr<std::optional<UdpPolicy>> FromProto(pb::UdpPolicy proto, const FieldPath& path) {
  return Lookup(kUdpPolicies, proto, path);
}

absl::StatusOr<std::optional<control::HealthCheckKind>> FromProto(pb::ProbeKind proto,
                                                                  const FieldPath& path) {
  return Lookup(kHealthCheckKinds, proto, path);
}

absl::StatusOr<std::optional<control::RecordType>> FromProto(pb::RecordType proto,
                                                             const FieldPath& path) {
  return Lookup(kRecordTypes, proto, path);
}

absl::StatusOr<std::optional<control::OnUnhealthy>> FromProto(pb::OnUnhealthy proto,
                                                              const FieldPath& path) {
  return Lookup(kOnUnhealthy, proto, path);
}

absl::StatusOr<std::optional<control::HealthOverride>> FromProto(pb::HealthOverride proto,
                                                                 const FieldPath& path) {
  return Lookup(kHealthOverrides, proto, path);
}

pb::Protocol ToProto(control::Protocol protocol) { return Reverse(kProtocols, protocol); }
pb::Mode ToProto(Mode mode) { return Reverse(kModes, mode); }
pb::HashKey ToProto(HashKey key) { return Reverse(kHashKeys, key); }
pb::AdminState ToProto(AdminState state) { return Reverse(kAdminStates, state); }
pb::DrainAction ToProto(control::DrainAction action) { return Reverse(kDrainActions, action); }
pb::WaitFor ToProto(control::WaitFor wait) { return Reverse(kWaits, wait); }
pb::BackendState ToProto(control::BackendState state) { return Reverse(kBackendStates, state); }
pb::Health ToProto(Health health) { return Reverse(kHealths, health); }
pb::IneligibleReason ToProto(IneligibleReason reason) {
  return Reverse(kIneligibleReasons, reason);
}
pb::UdpPolicy ToProto(UdpPolicy value) { return Reverse(kUdpPolicies, value); }
pb::ProbeKind ToProto(control::HealthCheckKind value) { return Reverse(kHealthCheckKinds, value); }
pb::RecordType ToProto(control::RecordType value) { return Reverse(kRecordTypes, value); }
pb::OnUnhealthy ToProto(control::OnUnhealthy value) { return Reverse(kOnUnhealthy, value); }
absl::StatusOr<std::optional<control::ExpiryAction>> FromProto(pb::ExpiryAction proto,
                                                               const FieldPath& path) {
  return Lookup(kExpiryActions, proto, path);
}
pb::ExpiryAction ToProto(control::ExpiryAction value) { return Reverse(kExpiryActions, value); }
pb::HealthOverride ToProto(control::HealthOverride value) {
  return Reverse(kHealthOverrides, value);
}
pb::HealthReason ToProto(control::HealthReason reason) { return Reverse(kHealthReasons, reason); }
pb::ServerState ToProto(control::ServerState state) { return Reverse(kServerStates, state); }

// One by one: UNSPECIFIED comes first.
pb::Role ToProto(control::Role role) { return static_cast<pb::Role>(static_cast<int>(role) + 1); }
static_assert(static_cast<int>(control::Role::kViewer) + 1 == pb::ROLE_VIEWER &&
              static_cast<int>(control::Role::kAdmin) + 1 == pb::ROLE_ADMIN);

std::string AllowedValues(const google::protobuf::EnumDescriptor* descriptor) {
  std::string text = "allowed: ";
  std::string_view separator = "";
  for (int i = 0; i < descriptor->value_count(); ++i) {
    if (descriptor->value(i)->number() == 0) continue;
    text += separator;
    text += descriptor->value(i)->name();
    separator = ", ";
  }
  return text;
}

}  // namespace sidelb::rpc
