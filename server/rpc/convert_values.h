// The small values that proto and model share: durations, times, addresses, enumerations. Part of
// rpc/convert_*, the only files that see both sides.
//
// Thread safety: pure functions. From proto: a wrong shape is INVALID_ARGUMENT (BAD_FIELD) and
// names the field. To proto: nothing can fail.
#pragma once

#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "server/control/model.h"
#include "server/rpc/field_path.h"
#include "sidelb/v1/control.pb.h"

namespace sidelb::rpc {

namespace pb = sidelb::v1;

// INVALID_ARGUMENT, reason BAD_FIELD.
absl::Status BadFieldAt(const FieldPath& path, std::string_view description);

// A duration of the API is never negative.
absl::StatusOr<absl::Duration> FromProto(const google::protobuf::Duration& proto,
                                         const FieldPath& path);
google::protobuf::Duration ToProto(absl::Duration duration);
absl::StatusOr<absl::Time> FromProto(const google::protobuf::Timestamp& proto,
                                     const FieldPath& path);
google::protobuf::Timestamp ToProto(absl::Time time);

absl::StatusOr<Address> AddressFromProto(const std::string& text, const FieldPath& path);

// UNSPECIFIED is nullopt; a number that the proto does not name is an error.
absl::StatusOr<std::optional<control::Protocol>> FromProto(pb::Protocol proto,
                                                           const FieldPath& path);
absl::StatusOr<std::optional<Mode>> FromProto(pb::Mode proto, const FieldPath& path);
// UNIMPLEMENTED (CAPABILITY) for FIVE_TUPLE.
absl::StatusOr<std::optional<HashKey>> FromProto(pb::HashKey proto, const FieldPath& path);
absl::StatusOr<std::optional<AdminState>> FromProto(pb::AdminState proto, const FieldPath& path);
absl::StatusOr<std::optional<control::DrainAction>> FromProto(pb::DrainAction proto,
                                                              const FieldPath& path);
absl::StatusOr<std::optional<UdpPolicy>> FromProto(pb::UdpPolicy proto, const FieldPath& path);
absl::StatusOr<std::optional<control::HealthCheckKind>> FromProto(pb::ProbeKind proto,
                                                                  const FieldPath& path);
absl::StatusOr<std::optional<control::RecordType>> FromProto(pb::RecordType proto,
                                                             const FieldPath& path);
absl::StatusOr<std::optional<control::OnUnhealthy>> FromProto(pb::OnUnhealthy proto,
                                                              const FieldPath& path);
absl::StatusOr<std::optional<control::HealthOverride>> FromProto(pb::HealthOverride proto,
                                                                 const FieldPath& path);
absl::StatusOr<std::optional<control::ExpiryAction>> FromProto(pb::ExpiryAction proto,
                                                               const FieldPath& path);
absl::StatusOr<std::optional<control::WaitFor>> FromProto(pb::WaitFor proto, const FieldPath& path);
absl::StatusOr<std::optional<control::BackendState>> FromProto(pb::BackendState proto,
                                                               const FieldPath& path);

pb::Protocol ToProto(control::Protocol protocol);
pb::Mode ToProto(Mode mode);
pb::HashKey ToProto(HashKey key);
pb::AdminState ToProto(AdminState state);
pb::DrainAction ToProto(control::DrainAction action);
pb::WaitFor ToProto(control::WaitFor wait);
pb::BackendState ToProto(control::BackendState state);
pb::Health ToProto(Health health);
pb::IneligibleReason ToProto(IneligibleReason reason);
pb::UdpPolicy ToProto(UdpPolicy value);
pb::ProbeKind ToProto(control::HealthCheckKind value);
pb::RecordType ToProto(control::RecordType value);
pb::OnUnhealthy ToProto(control::OnUnhealthy value);
pb::ExpiryAction ToProto(control::ExpiryAction value);
pb::HealthOverride ToProto(control::HealthOverride value);
pb::HealthReason ToProto(control::HealthReason reason);
pb::ServerState ToProto(control::ServerState state);
pb::Role ToProto(control::Role role);

// Text like "allowed: PROTOCOL_TCP, PROTOCOL_UDP" of an enumeration, for error messages.
std::string AllowedValues(const google::protobuf::EnumDescriptor* descriptor);

}  // namespace sidelb::rpc
