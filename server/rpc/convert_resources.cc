#include "server/rpc/convert_resources.h"

#include "server/rpc/convert_values.h"
#include "server/rpc/first_error.h"

namespace sidelb::rpc {
namespace {

control::KeepaliveSpec KeepaliveFromProto(const pb::Keepalive& proto, const FieldPath& path,
                                          FirstError* error) {
  control::KeepaliveSpec spec;
  if (proto.has_idle()) spec.idle = error->Take(FromProto(proto.idle(), path.Field("idle")));
  if (proto.has_interval()) {
    spec.interval = error->Take(FromProto(proto.interval(), path.Field("interval")));
  }
  if (proto.has_count()) spec.count = proto.count();
  return spec;
}

pb::Keepalive KeepaliveToProto(const control::KeepaliveSpec& spec) {
  pb::Keepalive proto;
  if (spec.idle) *proto.mutable_idle() = ToProto(*spec.idle);
  if (spec.interval) *proto.mutable_interval() = ToProto(*spec.interval);
  if (spec.count) proto.set_count(*spec.count);
  return proto;
}

}  // namespace

absl::StatusOr<control::ListenerSpec> FromProto(const pb::Listener& proto, const FieldPath& path) {
  FirstError error;
  control::ListenerSpec spec;
  spec.name = proto.name();
  spec.address = error.Take(AddressFromProto(proto.address(), path.Field("address")));
  spec.protocol = error.Take(FromProto(proto.protocol(), path.Field("protocol")));
  spec.pool = proto.pool();
  spec.disabled = proto.disabled();
  spec.max_connections = proto.max_connections();
  if (proto.has_connect_timeout()) {
    spec.connect_timeout =
        error.Take(FromProto(proto.connect_timeout(), path.Field("connect_timeout")));
  }
  if (proto.has_connect_attempts()) spec.connect_attempts = proto.connect_attempts();
  if (proto.has_idle_timeout()) {
    spec.idle_timeout = error.Take(FromProto(proto.idle_timeout(), path.Field("idle_timeout")));
  }
  if (proto.has_half_close_timeout()) {
    spec.half_close_timeout =
        error.Take(FromProto(proto.half_close_timeout(), path.Field("half_close_timeout")));
  }
  if (proto.has_keepalive()) {
    spec.keepalive = KeepaliveFromProto(proto.keepalive(), path.Field("keepalive"), &error);
  }
  return error.Result(std::move(spec));
}

absl::StatusOr<control::PoolSpec> FromProto(const pb::Pool& proto, const FieldPath& path) {
  FirstError error;
  control::PoolSpec spec;
  spec.name = proto.name();
  spec.mode = error.Take(FromProto(proto.mode(), path.Field("mode")));
  if (proto.has_drain()) spec.drain = error.Take(FromProto(proto.drain(), path.Field("drain")));
  return error.Result(std::move(spec));
}

absl::StatusOr<control::BackendSpec> FromProto(const pb::BackendSpec& proto,
                                               const FieldPath& path) {
  FirstError error;
  control::BackendSpec spec;
  spec.address = error.Take(AddressFromProto(proto.address(), path.Field("address")));
  if (proto.has_weight()) spec.weight = proto.weight();
  spec.max_connections = proto.max_connections();
  spec.zone = proto.zone();
  spec.tags.insert(proto.tags().begin(), proto.tags().end());
  spec.group = proto.group();
  spec.admin_state = error.Take(FromProto(proto.admin_state(), path.Field("admin_state")));
  return error.Result(std::move(spec));
}

absl::StatusOr<control::DrainSpec> FromProto(const pb::Drain& proto, const FieldPath& path) {
  FirstError error;
  control::DrainSpec spec;
  if (proto.has_timeout()) {
    spec.timeout = error.Take(FromProto(proto.timeout(), path.Field("timeout")));
  }
  spec.on_timeout = error.Take(FromProto(proto.on_timeout(), path.Field("on_timeout")));
  return error.Result(spec);
}

absl::StatusOr<control::Override> FromProto(const pb::Override& proto, const FieldPath& path) {
  FirstError error;
  control::Override override;
  override.admin_state = error.Take(FromProto(proto.admin_state(), path.Field("admin_state")));
  if (proto.has_weight()) override.weight = proto.weight();
  if (proto.has_drain()) override.drain = error.Take(FromProto(proto.drain(), path.Field("drain")));
  override.reason = proto.reason();
  return error.Result(std::move(override));
}

pb::Listener ToProto(const control::ListenerSpec& spec) {
  pb::Listener proto;
  proto.set_name(spec.name);
  proto.set_address(spec.address.ToString());
  if (spec.protocol) proto.set_protocol(ToProto(*spec.protocol));
  proto.set_pool(spec.pool);
  proto.set_disabled(spec.disabled);
  proto.set_max_connections(spec.max_connections);
  if (spec.connect_timeout) *proto.mutable_connect_timeout() = ToProto(*spec.connect_timeout);
  if (spec.connect_attempts) proto.set_connect_attempts(*spec.connect_attempts);
  if (spec.idle_timeout) *proto.mutable_idle_timeout() = ToProto(*spec.idle_timeout);
  if (spec.half_close_timeout) {
    *proto.mutable_half_close_timeout() = ToProto(*spec.half_close_timeout);
  }
  if (spec.keepalive) *proto.mutable_keepalive() = KeepaliveToProto(*spec.keepalive);
  return proto;
}

pb::Pool ToProto(const control::PoolSpec& spec) {
  pb::Pool proto;
  proto.set_name(spec.name);
  if (spec.mode) proto.set_mode(ToProto(*spec.mode));
  if (spec.drain) *proto.mutable_drain() = ToProto(*spec.drain);
  return proto;
}

pb::BackendSpec ToProto(const control::BackendSpec& spec) {
  pb::BackendSpec proto;
  proto.set_address(spec.address.ToString());
  if (spec.weight) proto.set_weight(*spec.weight);
  proto.set_max_connections(spec.max_connections);
  proto.set_zone(spec.zone);
  proto.mutable_tags()->insert(spec.tags.begin(), spec.tags.end());
  proto.set_group(spec.group);
  if (spec.admin_state) proto.set_admin_state(ToProto(*spec.admin_state));
  return proto;
}

pb::Drain ToProto(const control::DrainSpec& spec) {
  pb::Drain proto;
  if (spec.timeout) *proto.mutable_timeout() = ToProto(*spec.timeout);
  if (spec.on_timeout) proto.set_on_timeout(ToProto(*spec.on_timeout));
  return proto;
}

pb::Override ToProto(const control::Override& override) {
  pb::Override proto;
  if (override.admin_state) proto.set_admin_state(ToProto(*override.admin_state));
  if (override.weight) proto.set_weight(*override.weight);
  if (override.drain) *proto.mutable_drain() = ToProto(*override.drain);
  proto.set_reason(override.reason);
  proto.set_set_by(override.set_by);
  return proto;
}

}  // namespace sidelb::rpc
