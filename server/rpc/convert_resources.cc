#include "server/rpc/convert_resources.h"

#include "server/rpc/convert_values.h"
#include "server/rpc/first_error.h"
#include "server/rpc/status.h"

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

control::HealthCheckSpec HealthCheckFromProto(const pb::HealthCheck& proto, const FieldPath& path,
                                              FirstError* error) {
  control::HealthCheckSpec spec;
  if (proto.kind() == pb::PROBE_KIND_GRPC_HEALTH) {
    error->Add(CapabilityError(path.Field("kind").ToString(),
                               "PROBE_KIND_GRPC_HEALTH is not supported by this version"));
    return spec;
  }
  spec.kind = error->Take(FromProto(proto.kind(), path.Field("kind")));
  if (proto.has_interval()) {
    spec.interval = error->Take(FromProto(proto.interval(), path.Field("interval")));
  }
  if (proto.has_timeout()) {
    spec.timeout = error->Take(FromProto(proto.timeout(), path.Field("timeout")));
  }
  if (proto.has_rise()) spec.rise = proto.rise();
  if (proto.has_fall()) spec.fall = proto.fall();
  spec.send = proto.send();
  spec.expect = proto.expect();
  spec.port = proto.port();
  if (proto.has_passive_failures()) spec.passive_failures = proto.passive_failures();
  return spec;
}

pb::HealthCheck HealthCheckToProto(const control::HealthCheckSpec& spec) {
  pb::HealthCheck proto;
  if (spec.kind) proto.set_kind(ToProto(*spec.kind));
  if (spec.interval) *proto.mutable_interval() = ToProto(*spec.interval);
  if (spec.timeout) *proto.mutable_timeout() = ToProto(*spec.timeout);
  if (spec.rise) proto.set_rise(*spec.rise);
  if (spec.fall) proto.set_fall(*spec.fall);
  proto.set_send(spec.send);
  proto.set_expect(spec.expect);
  proto.set_port(spec.port);
  if (spec.passive_failures) proto.set_passive_failures(*spec.passive_failures);
  return proto;
}

// All but the address.
control::BackendSpec AttributesFromProto(const pb::BackendSpec& proto, const FieldPath& path,
                                         FirstError* error) {
  control::BackendSpec spec;
  if (proto.has_weight()) spec.weight = proto.weight();
  spec.max_connections = proto.max_connections();
  spec.zone = proto.zone();
  spec.tags.insert(proto.tags().begin(), proto.tags().end());
  spec.group = proto.group();
  spec.admin_state = error->Take(FromProto(proto.admin_state(), path.Field("admin_state")));
  spec.priority = proto.priority();
  if (!proto.probe_address().empty()) {
    spec.probe_address =
        error->Take(AddressFromProto(proto.probe_address(), path.Field("probe_address")));
  }
  return spec;
}

control::RingDomainSpec RingDomainFromProto(const pb::RingDomain& proto, const FieldPath& path,
                                            FirstError* error) {
  control::RingDomainSpec spec;
  spec.domain = proto.domain();
  spec.port = proto.port();
  if (proto.has_min_ttl()) {
    spec.min_ttl = error->Take(FromProto(proto.min_ttl(), path.Field("min_ttl")));
  }
  if (proto.has_max_ttl()) {
    spec.max_ttl = error->Take(FromProto(proto.max_ttl(), path.Field("max_ttl")));
  }
  spec.record = error->Take(FromProto(proto.record(), path.Field("record")));
  if (proto.has_defaults()) {
    const FieldPath defaults = path.Field("defaults");
    spec.defaults = AttributesFromProto(proto.defaults(), defaults, error);
    if (!proto.defaults().address().empty()) {
      spec.defaults->address =
          error->Take(AddressFromProto(proto.defaults().address(), defaults.Field("address")));
    }
  }
  return spec;
}

pb::RingDomain RingDomainToProto(const control::RingDomainSpec& spec) {
  pb::RingDomain proto;
  proto.set_domain(spec.domain);
  proto.set_port(spec.port);
  if (spec.min_ttl) *proto.mutable_min_ttl() = ToProto(*spec.min_ttl);
  if (spec.max_ttl) *proto.mutable_max_ttl() = ToProto(*spec.max_ttl);
  if (spec.record) proto.set_record(ToProto(*spec.record));
  if (spec.defaults) *proto.mutable_defaults() = ToProto(*spec.defaults);
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
  spec.udp_policy = error.Take(FromProto(proto.udp_policy(), path.Field("udp_policy")));
  if (proto.has_udp_session_timeout()) {
    spec.udp_session_timeout =
        error.Take(FromProto(proto.udp_session_timeout(), path.Field("udp_session_timeout")));
  }
  if (proto.has_udp_unanswered_timeout()) {
    spec.udp_unanswered_timeout =
        error.Take(FromProto(proto.udp_unanswered_timeout(), path.Field("udp_unanswered_timeout")));
  }
  spec.max_sessions_per_client = proto.max_sessions_per_client();
  return error.Result(std::move(spec));
}

absl::StatusOr<control::PoolSpec> FromProto(const pb::Pool& proto, const FieldPath& path) {
  FirstError error;
  control::PoolSpec spec;
  spec.name = proto.name();
  spec.mode = error.Take(FromProto(proto.mode(), path.Field("mode")));
  spec.hash_key = error.Take(FromProto(proto.hash_key(), path.Field("hash_key")));
  if (proto.has_hash_table_size()) spec.hash_table_size = proto.hash_table_size();
  spec.group_by_ip = proto.group_by_ip();
  if (proto.has_drain()) spec.drain = error.Take(FromProto(proto.drain(), path.Field("drain")));
  if (proto.has_health_check()) {
    spec.health_check =
        HealthCheckFromProto(proto.health_check(), path.Field("health_check"), &error);
  }
  spec.panic_percent = proto.panic_percent();
  if (proto.has_slow_start()) {
    spec.slow_start = error.Take(FromProto(proto.slow_start(), path.Field("slow_start")));
  }
  if (proto.has_ejection_time()) {
    spec.ejection_time = error.Take(FromProto(proto.ejection_time(), path.Field("ejection_time")));
  }
  if (proto.has_max_ejection_time()) {
    spec.max_ejection_time =
        error.Take(FromProto(proto.max_ejection_time(), path.Field("max_ejection_time")));
  }
  if (proto.has_max_ejection_percent()) spec.max_ejection_percent = proto.max_ejection_percent();
  spec.on_unhealthy = error.Take(FromProto(proto.on_unhealthy(), path.Field("on_unhealthy")));
  for (int i = 0; i < proto.ring_domains_size(); ++i) {
    spec.ring_domains.push_back(
        RingDomainFromProto(proto.ring_domains(i), path.Field("ring_domains", i), &error));
  }
  return error.Result(std::move(spec));
}

absl::StatusOr<control::BackendSpec> FromProto(const pb::BackendSpec& proto,
                                               const FieldPath& path) {
  FirstError error;
  control::BackendSpec spec = AttributesFromProto(proto, path, &error);
  spec.address = error.Take(AddressFromProto(proto.address(), path.Field("address")));
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
  override.health = error.Take(FromProto(proto.health(), path.Field("health")));
  if (proto.has_weight()) override.weight = proto.weight();
  if (proto.has_drain()) override.drain = error.Take(FromProto(proto.drain(), path.Field("drain")));
  if (proto.has_ttl()) override.ttl = error.Take(FromProto(proto.ttl(), path.Field("ttl")));
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
  if (spec.udp_policy) proto.set_udp_policy(ToProto(*spec.udp_policy));
  if (spec.udp_session_timeout) {
    *proto.mutable_udp_session_timeout() = ToProto(*spec.udp_session_timeout);
  }
  if (spec.udp_unanswered_timeout) {
    *proto.mutable_udp_unanswered_timeout() = ToProto(*spec.udp_unanswered_timeout);
  }
  proto.set_max_sessions_per_client(spec.max_sessions_per_client);
  return proto;
}

pb::Pool ToProto(const control::PoolSpec& spec) {
  pb::Pool proto;
  proto.set_name(spec.name);
  if (spec.mode) proto.set_mode(ToProto(*spec.mode));
  if (spec.hash_key) proto.set_hash_key(ToProto(*spec.hash_key));
  if (spec.hash_table_size) proto.set_hash_table_size(*spec.hash_table_size);
  proto.set_group_by_ip(spec.group_by_ip);
  if (spec.drain) *proto.mutable_drain() = ToProto(*spec.drain);
  if (spec.health_check) *proto.mutable_health_check() = HealthCheckToProto(*spec.health_check);
  proto.set_panic_percent(spec.panic_percent);
  if (spec.slow_start) *proto.mutable_slow_start() = ToProto(*spec.slow_start);
  if (spec.ejection_time) *proto.mutable_ejection_time() = ToProto(*spec.ejection_time);
  if (spec.max_ejection_time) {
    *proto.mutable_max_ejection_time() = ToProto(*spec.max_ejection_time);
  }
  if (spec.max_ejection_percent) proto.set_max_ejection_percent(*spec.max_ejection_percent);
  if (spec.on_unhealthy) proto.set_on_unhealthy(ToProto(*spec.on_unhealthy));
  for (const control::RingDomainSpec& domain : spec.ring_domains) {
    *proto.add_ring_domains() = RingDomainToProto(domain);
  }
  return proto;
}

pb::BackendSpec ToProto(const control::BackendSpec& spec) {
  pb::BackendSpec proto;
  if (spec.address.is_specified()) proto.set_address(spec.address.ToString());
  if (spec.weight) proto.set_weight(*spec.weight);
  proto.set_max_connections(spec.max_connections);
  proto.set_zone(spec.zone);
  proto.mutable_tags()->insert(spec.tags.begin(), spec.tags.end());
  proto.set_group(spec.group);
  if (spec.admin_state) proto.set_admin_state(ToProto(*spec.admin_state));
  proto.set_priority(spec.priority);
  if (spec.probe_address) proto.set_probe_address(spec.probe_address->ToString());
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
  if (override.health) proto.set_health(ToProto(*override.health));
  if (override.weight) proto.set_weight(*override.weight);
  if (override.drain) *proto.mutable_drain() = ToProto(*override.drain);
  if (override.ttl) *proto.mutable_ttl() = ToProto(*override.ttl);
  proto.set_reason(override.reason);
  if (override.expire_time) *proto.mutable_expire_time() = ToProto(*override.expire_time);
  proto.set_set_by(override.set_by);
  return proto;
}

}  // namespace sidelb::rpc
