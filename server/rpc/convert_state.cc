#include "server/rpc/convert_state.h"

#include "server/rpc/convert_resources.h"
#include "server/rpc/convert_values.h"

namespace sidelb::rpc {
namespace {

pb::ListenerStatus StatusToProto(const control::ListenerStatus& status) {
  pb::ListenerStatus proto;
  proto.set_bound(status.is_bound);
  proto.set_error(status.error);
  proto.set_active_connections(status.active_connections);
  if (status.bound_address.is_specified()) {
    proto.set_bound_address(status.bound_address.ToString());
  }
  return proto;
}

pb::PoolStatus StatusToProto(const control::PoolStatus& status) {
  pb::PoolStatus proto;
  proto.set_total(status.total);
  proto.set_serving(status.serving);
  proto.set_draining(status.draining);
  proto.set_unhealthy(status.unhealthy);
  proto.set_disabled(status.disabled);
  proto.set_panic(status.is_in_panic);
  proto.set_active_priority(status.active_priority);
  proto.set_active_connections(status.active_connections);
  return proto;
}

pb::BackendStatus StatusToProto(const control::BackendStatus& status) {
  pb::BackendStatus proto;
  proto.set_state(ToProto(status.state));
  proto.set_health(ToProto(status.health));
  proto.set_active_connections(status.active_connections);
  if (status.drain_deadline) *proto.mutable_drain_deadline() = ToProto(*status.drain_deadline);
  if (status.state_change_time) {
    *proto.mutable_state_change_time() = ToProto(*status.state_change_time);
  }
  proto.set_effective_weight(status.effective_weight);
  proto.set_ineligible_reason(ToProto(status.ineligible_reason));
  proto.set_reason(ToProto(status.reason));
  proto.set_detail(status.detail);
  if (status.last_probe_time) {
    *proto.mutable_last_probe_time() = ToProto(*status.last_probe_time);
    *proto.mutable_last_probe_latency() = ToProto(status.last_probe_latency);
  }
  proto.set_consecutive_ok(status.consecutive_ok);
  proto.set_consecutive_failed(status.consecutive_failed);
  proto.set_transitions(status.transitions);
  if (status.ejected_until) *proto.mutable_ejected_until() = ToProto(*status.ejected_until);
  return proto;
}

pb::Claim ClaimToProto(const control::Claim& claim) {
  pb::Claim proto;
  proto.set_owner(claim.owner);
  *proto.mutable_spec() = ToProto(claim.spec);
  proto.set_revision(claim.revision);
  proto.set_lease_expired(claim.lease_expired);
  proto.set_order(claim.order);
  return proto;
}

}  // namespace

pb::Listener ToProto(const control::StateView::ListenerEntry& entry, StateDetail detail) {
  pb::Listener proto = ToProto(entry.object->spec);
  proto.set_revision(entry.object->revision);
  if (detail == StateDetail::kFull) *proto.mutable_status() = StatusToProto(entry.status);
  return proto;
}

pb::Pool ToProto(const control::StateView::PoolEntry& entry, StateDetail detail) {
  pb::Pool proto = ToProto(entry.object->spec);
  proto.set_revision(entry.object->revision);
  if (detail == StateDetail::kFull) *proto.mutable_status() = StatusToProto(entry.status);
  return proto;
}

pb::Backend ToProto(const control::StateView::BackendEntry& entry, StateDetail detail) {
  const control::BackendObject& object = *entry.object;
  pb::Backend proto;
  proto.set_pool(object.pool);
  proto.set_address(object.address.ToString());
  for (const control::Claim& claim : object.claims) *proto.add_claims() = ClaimToProto(claim);
  if (object.override) *proto.mutable_override() = ToProto(*object.override);
  proto.set_revision(object.revision);
  if (detail == StateDetail::kFull) {
    *proto.mutable_effective() = ToProto(object.effective);
    *proto.mutable_status() = StatusToProto(entry.status);
  }
  return proto;
}

pb::ApplyResponse ToProto(const control::ApplyResponse& response) {
  pb::ApplyResponse proto;
  proto.set_revision(response.revision);
  for (const control::OpResult& result : response.results) {
    pb::OpResult* added = proto.add_results();
    added->set_added(result.added);
    added->set_updated(result.updated);
    added->set_removed(result.removed);
    added->set_unchanged(result.unchanged);
  }
  proto.set_reached(ToProto(response.reached));
  proto.set_pending(response.pending);
  for (const std::string& warning : response.warnings) proto.add_warnings(warning);
  proto.set_replayed(response.replayed);
  for (const control::PoolImpact& impact : response.impacts) {
    pb::PoolImpact* added = proto.add_impacts();
    added->set_pool(impact.pool);
    added->set_eligible_before(impact.eligible_before);
    added->set_eligible_after(impact.eligible_after);
    added->set_added(impact.added);
    added->set_connections(impact.connections);
  }
  return proto;
}

pb::Lease ToProto(const control::Lease& lease) {
  pb::Lease proto;
  proto.set_owner(lease.owner);
  proto.set_holder(lease.holder);
  *proto.mutable_ttl() = ToProto(lease.ttl);
  *proto.mutable_expire_time() = ToProto(lease.expire_time);
  proto.set_on_expiry(ToProto(lease.on_expiry));
  *proto.mutable_grace() = ToProto(lease.grace);
  proto.set_claims(lease.claims);
  proto.set_expired(lease.is_expired);
  return proto;
}

pb::RenewLeaseResponse ToProto(const control::RenewLeaseResponse& response) {
  pb::RenewLeaseResponse proto;
  *proto.mutable_lease() = ToProto(response.lease);
  *proto.mutable_renew_after() = ToProto(response.renew_after);
  proto.set_revision(response.revision);
  return proto;
}

pb::AuditEntry ToProto(const control::AuditEntry& entry) {
  pb::AuditEntry proto;
  proto.set_revision(entry.revision);
  *proto.mutable_time() = ToProto(entry.time);
  proto.set_principal(entry.principal);
  proto.set_peer(entry.peer);
  proto.set_owner(entry.owner);
  proto.set_request_id(entry.request_id);
  proto.set_summary(entry.summary);
  proto.set_comment(entry.comment);
  proto.set_code(entry.code);
  proto.set_error_reason(entry.error_reason);
  return proto;
}

pb::ListAuditResponse ToProto(const control::AuditPage& page) {
  pb::ListAuditResponse proto;
  for (const control::AuditEntry& entry : page.entries) *proto.add_entries() = ToProto(entry);
  if (page.next_before != 0) proto.set_next_page_token(std::to_string(page.next_before));
  return proto;
}

pb::GetInfoResponse ToProto(const control::Info& info) {
  pb::GetInfoResponse proto;
  proto.set_epoch(info.epoch);
  proto.set_revision(info.revision);
  proto.set_applied_revision(info.applied_revision);
  proto.set_shards(info.shards);
  *proto.mutable_start_time() = ToProto(info.start_time);
  proto.set_state(ToProto(info.state));
  proto.set_active_connections(info.active_connections);
  proto.mutable_limits()->set_max_connections(info.max_connections);
  for (const control::Lease& lease : info.leases) *proto.add_leases() = ToProto(lease);
  proto.mutable_store()->set_kind(info.has_store ? "sqlite" : "memory");
  proto.mutable_store()->set_connected(info.is_store_working);
  proto.mutable_store()->set_revision(info.has_store ? info.stored_revision : info.revision);
  for (const control::Condition& condition : info.conditions) {
    pb::Condition* added = proto.add_conditions();
    added->set_code(condition.code);
    added->set_detail(condition.detail);
    *added->mutable_since() = ToProto(condition.since);
  }
  for (const auto& [code, count] : info.faults) {
    pb::FaultCount* added = proto.add_faults();
    added->set_code(code);
    added->set_count(count);
  }
  return proto;
}

}  // namespace sidelb::rpc
