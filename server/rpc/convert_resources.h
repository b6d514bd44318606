// Listeners, pools, backends and overrides: proto <-> model, both ways and without loss.
//
// Output only fields are not read. A field of the proto that the model cannot hold must have been
// refused before (CheckWrite). What a value means is judged by control, its shape here: wrong
// addresses, durations and enumeration values are INVALID_ARGUMENT (BAD_FIELD) with the path.
//
// Thread safety: pure functions.
#pragma once

#include "absl/status/statusor.h"
#include "server/control/model.h"
#include "server/rpc/field_path.h"
#include "sidelb/v1/resources.pb.h"

namespace sidelb::rpc {

namespace pb = sidelb::v1;

absl::StatusOr<control::ListenerSpec> FromProto(const pb::Listener& proto, const FieldPath& path);
absl::StatusOr<control::PoolSpec> FromProto(const pb::Pool& proto, const FieldPath& path);
absl::StatusOr<control::BackendSpec> FromProto(const pb::BackendSpec& proto, const FieldPath& path);
absl::StatusOr<control::DrainSpec> FromProto(const pb::Drain& proto, const FieldPath& path);
absl::StatusOr<control::Override> FromProto(const pb::Override& proto, const FieldPath& path);

pb::Listener ToProto(const control::ListenerSpec& spec);
pb::Pool ToProto(const control::PoolSpec& spec);
pb::BackendSpec ToProto(const control::BackendSpec& spec);
pb::Drain ToProto(const control::DrainSpec& spec);
pb::Override ToProto(const control::Override& override);

}  // namespace sidelb::rpc
