#include "server/store/codec.h"

#include <charconv>
#include <utility>
#include <vector>

#include "absl/strings/str_split.h"
#include "fmt/format.h"
#include "server/rpc/convert_resources.h"
#include "server/rpc/convert_state.h"
#include "server/rpc/convert_values.h"
#include "server/rpc/first_error.h"
#include "sidelb/v1/control.pb.h"
#include "sidelb/v1/resources.pb.h"

namespace sidelb::store {
namespace {

namespace pb = sidelb::v1;
using rpc::FieldPath;
using rpc::FirstError;
using rpc::FromProto;
using rpc::ToProto;

absl::Status Broken(std::string_view what, std::string_view why) {
  return absl::DataLossError(fmt::format("a row of a {} cannot be read: {}", what, why));
}

template <typename Proto>
absl::StatusOr<Proto> Parse(std::string_view what, const std::string& row) {
  Proto proto;
  if (!proto.ParseFromString(row)) return Broken(what, "it is no message");
  return proto;
}

absl::Time ToTime(const google::protobuf::Timestamp& proto) {
  return absl::FromUnixSeconds(proto.seconds()) + absl::Nanoseconds(proto.nanos());
}

std::vector<uint64_t> ParseOrders(std::string_view text) {
  std::vector<uint64_t> orders;
  for (const auto part : absl::StrSplit(absl::string_view(text.data(), text.size()), ',')) {
    uint64_t order = 0;
    std::from_chars(part.data(), part.data() + part.size(), order);
    orders.push_back(order);
  }
  return orders;
}

}  // namespace

std::string Encode(const control::ListenerObject& listener) {
  pb::Listener proto = ToProto(listener.spec);
  proto.set_revision(listener.revision);
  return proto.SerializeAsString();
}

std::string Encode(const control::PoolObject& pool) {
  pb::Pool proto = ToProto(pool.spec);
  proto.set_revision(pool.revision);
  return proto.SerializeAsString();
}

std::string Encode(const control::BackendObject& backend) {
  pb::Backend proto;
  proto.set_pool(backend.pool);
  proto.set_address(backend.address.ToString());
  proto.set_revision(backend.revision);
  for (const control::Claim& claim : backend.claims) {
    pb::Claim* added = proto.add_claims();
    added->set_owner(claim.owner);
    *added->mutable_spec() = ToProto(claim.spec);
    added->set_revision(claim.revision);
    added->set_lease_expired(claim.lease_expired);
  }
  if (backend.override.has_value()) {
    *proto.mutable_override() = ToProto(*backend.override);
    if (backend.override->ttl)
      *proto.mutable_override()->mutable_ttl() = ToProto(*backend.override->ttl);
    if (backend.override->expire_time) {
      *proto.mutable_override()->mutable_expire_time() = ToProto(*backend.override->expire_time);
    }
  }
  return proto.SerializeAsString();
}

std::string EncodeOrders(const control::BackendObject& backend) {
  std::string orders;
  for (const control::Claim& claim : backend.claims) {
    orders += fmt::format("{}{}", orders.empty() ? "" : ",", claim.order);
  }
  return orders;
}

std::string Encode(const control::ApplyResponse& response) {
  return ToProto(response).SerializeAsString();
}

std::string Encode(const control::Lease& lease) { return ToProto(lease).SerializeAsString(); }

std::string Encode(const control::AuditEntry& entry) { return ToProto(entry).SerializeAsString(); }

absl::StatusOr<std::shared_ptr<const control::ListenerObject>> DecodeListener(
    const std::string& row) {
  const auto proto = Parse<pb::Listener>("listener", row);
  if (!proto.ok()) return proto.status();
  const FieldPath root;
  auto spec = FromProto(*proto, root);
  if (!spec.ok()) return Broken("listener", std::string(spec.status().message()));
  return std::make_shared<control::ListenerObject>(
      control::ListenerObject{*std::move(spec), proto->revision()});
}

absl::StatusOr<std::shared_ptr<const control::PoolObject>> DecodePool(const std::string& row) {
  const auto proto = Parse<pb::Pool>("pool", row);
  if (!proto.ok()) return proto.status();
  const FieldPath root;
  auto spec = FromProto(*proto, root);
  if (!spec.ok()) return Broken("pool", std::string(spec.status().message()));
  return std::make_shared<control::PoolObject>(
      control::PoolObject{*std::move(spec), proto->revision()});
}

absl::StatusOr<std::shared_ptr<const control::BackendObject>> DecodeBackend(
    const std::string& row, std::string_view orders) {
  const auto proto = Parse<pb::Backend>("backend", row);
  if (!proto.ok()) return proto.status();
  const FieldPath root;
  FirstError error;
  auto backend = std::make_shared<control::BackendObject>();
  backend->pool = proto->pool();
  backend->address = error.Take(rpc::AddressFromProto(proto->address(), root.Field("address")));
  backend->revision = proto->revision();
  const std::vector<uint64_t> of_claims = ParseOrders(orders);
  if (proto->claims_size() > 0 && of_claims.size() != static_cast<size_t>(proto->claims_size())) {
    return Broken("backend", "it has not one order for each claim");
  }
  for (int i = 0; i < proto->claims_size(); ++i) {
    const pb::Claim& claim = proto->claims(i);
    backend->claims.push_back({.owner = claim.owner(),
                               .spec = error.Take(FromProto(claim.spec(), root.Field("spec"))),
                               .revision = claim.revision(),
                               .order = of_claims[i]});  // its lease begins anew
  }
  if (proto->has_override()) {
    const pb::Override& imposed = proto->override();
    control::Override override = error.Take(FromProto(imposed, root.Field("override")));
    override.set_by = imposed.set_by();
    if (imposed.has_ttl()) override.ttl = error.Take(FromProto(imposed.ttl(), root.Field("ttl")));
    if (imposed.has_expire_time()) override.expire_time = ToTime(imposed.expire_time());
    backend->override = std::move(override);
  }
  if (!error.ok()) return Broken("backend", std::string(error.status().message()));
  return backend;
}

absl::StatusOr<control::ApplyResponse> DecodeResponse(const std::string& row) {
  const auto proto = Parse<pb::ApplyResponse>("request", row);
  if (!proto.ok()) return proto.status();
  control::ApplyResponse response{.revision = proto->revision()};
  for (const pb::OpResult& result : proto->results()) {
    response.results.push_back({.added = result.added(),
                                .updated = result.updated(),
                                .removed = result.removed(),
                                .unchanged = result.unchanged()});
  }
  response.warnings.assign(proto->warnings().begin(), proto->warnings().end());
  for (const pb::PoolImpact& impact : proto->impacts()) {
    response.impacts.push_back({.pool = impact.pool(),
                                .eligible_before = impact.eligible_before(),
                                .eligible_after = impact.eligible_after(),
                                .added = impact.added(),
                                .connections = impact.connections()});
  }
  return response;
}

absl::StatusOr<control::Lease> DecodeLease(const std::string& row) {
  const auto proto = Parse<pb::Lease>("lease", row);
  if (!proto.ok()) return proto.status();
  const FieldPath root;
  FirstError error;
  control::Lease lease{.owner = proto->owner(), .holder = proto->holder()};
  lease.ttl = error.Take(FromProto(proto->ttl(), root.Field("ttl")));
  lease.grace = error.Take(FromProto(proto->grace(), root.Field("grace")));
  lease.on_expiry = error.Take(FromProto(proto->on_expiry(), root.Field("on_expiry")))
                        .value_or(control::ExpiryAction::kDrain);
  if (!error.ok()) return Broken("lease", std::string(error.status().message()));
  return lease;
}

absl::StatusOr<control::AuditEntry> DecodeAudit(const std::string& row) {
  const auto proto = Parse<pb::AuditEntry>("audit entry", row);
  if (!proto.ok()) return proto.status();
  return control::AuditEntry{.revision = proto->revision(),
                             .time = ToTime(proto->time()),
                             .principal = proto->principal(),
                             .peer = proto->peer(),
                             .owner = proto->owner(),
                             .request_id = proto->request_id(),
                             .summary = proto->summary(),
                             .comment = proto->comment(),
                             .code = proto->code(),
                             .error_reason = proto->error_reason()};
}

}  // namespace sidelb::store
