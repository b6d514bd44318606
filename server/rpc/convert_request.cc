#include "server/rpc/convert_request.h"

#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>

#include <algorithm>
#include <charconv>
#include <string>
#include <utility>

#include "fmt/format.h"
#include "server/control/config_digest.h"
#include "server/control/errors.h"
#include "server/control/request_log.h"
#include "server/rpc/convert_import.h"
#include "server/rpc/convert_resources.h"
#include "server/rpc/convert_values.h"
#include "server/rpc/first_error.h"
#include "server/rpc/status.h"

namespace sidelb::rpc {
namespace {

constexpr int32_t kDefaultPageSize = 500;
constexpr absl::Duration kDefaultHeartbeat = absl::Seconds(10);
constexpr absl::Duration kMinHeartbeat = absl::Seconds(1);
constexpr absl::Duration kMaxHeartbeat = absl::Hours(1);
constexpr int32_t kMaxPageSize = 2'000;
constexpr absl::Duration kMaxDrainTimeout = absl::Hours(24);
constexpr int32_t kDefaultAuditPage = 100;
constexpr int32_t kMaxAuditPage = 1'000;

std::vector<Address> AddressesFromProto(
    const google::protobuf::RepeatedPtrField<std::string>& texts, const FieldPath& path,
    FirstError* error) {
  std::vector<Address> addresses;
  addresses.reserve(texts.size());
  for (int i = 0; i < texts.size() && error->ok(); ++i) {
    addresses.push_back(error->Take(AddressFromProto(texts[i], path.Field("addresses", i))));
  }
  return addresses;
}

control::Selector SelectorFromProto(const pb::Selector& proto, const FieldPath& path,
                                    FirstError* error) {
  control::Selector selector;
  selector.addresses = AddressesFromProto(proto.addresses(), path, error);
  selector.group = proto.group();
  selector.zone = proto.zone();
  selector.tags.insert(proto.tags().begin(), proto.tags().end());
  selector.owner = proto.owner();
  selector.all = proto.all();
  return selector;
}

std::vector<control::BackendSpec> BackendsFromProto(const pb::BackendSet& set,
                                                    const FieldPath& path, FirstError* error) {
  std::vector<control::BackendSpec> backends;
  backends.reserve(set.backends_size());
  for (int i = 0; i < set.backends_size() && error->ok(); ++i) {
    backends.push_back(error->Take(FromProto(set.backends(i), path.Field("backends", i))));
  }
  return backends;
}

control::RemoveBackends RemoveFromProto(const pb::RemoveBackends& proto, const FieldPath& path,
                                        FirstError* error) {
  control::RemoveBackends remove;
  remove.pool = proto.pool();
  remove.addresses = AddressesFromProto(proto.addresses(), path, error);
  if (proto.has_drain()) remove.drain = error->Take(FromProto(proto.drain(), path.Field("drain")));
  remove.any_owner = proto.any_owner();
  return remove;
}

control::SetMode ModeFromProto(const pb::SetMode& proto, const FieldPath& path, FirstError* error) {
  control::SetMode set;
  set.pool = proto.pool();
  const auto mode = error->Take(FromProto(proto.mode(), path.Field("mode")));
  if (mode) {
    set.mode = *mode;
  } else {
    error->Add(BadFieldAt(path.Field("mode"),
                          fmt::format("is not set; {}", AllowedValues(pb::Mode_descriptor()))));
  }
  set.hash_key = error->Take(FromProto(proto.hash_key(), path.Field("hash_key")));
  if (proto.has_hash_table_size()) set.hash_table_size = proto.hash_table_size();
  return set;
}

control::SetOverride OverrideFromProto(const pb::SetOverride& proto, const FieldPath& path,
                                       FirstError* error) {
  control::SetOverride set;
  set.pool = proto.pool();
  set.selector = SelectorFromProto(proto.selector(), path.Field("selector"), error);
  set.override = error->Take(FromProto(proto.override(), path.Field("override")));
  set.clear = proto.clear();
  for (int i = 0; i < proto.clear_parts_size(); ++i) {
    const FieldPath part = path.Field("clear_parts", i);
    switch (proto.clear_parts(i)) {
      case pb::OVERRIDE_PART_ADMIN_STATE:
        set.clear_admin_state = true;
        break;
      case pb::OVERRIDE_PART_WEIGHT:
        set.clear_weight = true;
        break;
      case pb::OVERRIDE_PART_HEALTH:
        set.clear_health = true;
        break;
      default:
        error->Add(BadFieldAt(part, fmt::format("{} is not a part of an override; {}",
                                                static_cast<int>(proto.clear_parts(i)),
                                                AllowedValues(pb::OverridePart_descriptor()))));
    }
  }
  return set;
}

control::Op OpFromProto(const pb::Op& proto, const FieldPath& path, FirstError* error) {
  control::Op op;
  switch (proto.op_case()) {
    case pb::Op::kPutListener:
      op.op = control::PutListener{
          error->Take(FromProto(proto.put_listener(), path.Field("put_listener")))};
      break;
    case pb::Op::kRemoveListener:
      op.op = control::RemoveListener{proto.remove_listener()};
      break;
    case pb::Op::kPutPool:
      op.op = control::PutPool{error->Take(FromProto(proto.put_pool(), path.Field("put_pool")))};
      break;
    case pb::Op::kRemovePool:
      op.op = control::RemovePool{proto.remove_pool().pool(), proto.remove_pool().force()};
      break;
    case pb::Op::kUpsertBackends:
      op.op = control::UpsertBackends{
          proto.upsert_backends().pool(),
          BackendsFromProto(proto.upsert_backends(), path.Field("upsert_backends"), error)};
      break;
    case pb::Op::kRemoveBackends:
      op.op = RemoveFromProto(proto.remove_backends(), path.Field("remove_backends"), error);
      break;
    case pb::Op::kReplaceBackends:
      op.op = control::ReplaceBackends{
          proto.replace_backends().pool(),
          BackendsFromProto(proto.replace_backends(), path.Field("replace_backends"), error)};
      break;
    case pb::Op::kSetMode:
      op.op = ModeFromProto(proto.set_mode(), path.Field("set_mode"), error);
      break;
    case pb::Op::kSetOverride:
      op.op = OverrideFromProto(proto.set_override(), path.Field("set_override"), error);
      break;
    case pb::Op::kImportState:
      op.op = ImportFromProto(proto.import_state(), path.Field("import_state"), error);
      break;
    case pb::Op::OP_NOT_SET:
      error->Add(BadFieldAt(path, "has no op; set exactly one, put_pool for example"));
      break;
  }
  if (proto.has_expected_revision()) op.expected_revision = proto.expected_revision();
  return op;
}

void SetKinds(const pb::Filter& proto, const FieldPath& path, control::Filter* filter,
              FirstError* error) {
  if (proto.kinds().empty()) return;
  filter->with_listeners = filter->with_pools = false;
  filter->with_backends = filter->with_leases = false;
  for (int i = 0; i < proto.kinds_size(); ++i) {
    const FieldPath kind = path.Field("kinds", i);
    switch (proto.kinds(i)) {
      case pb::OBJECT_KIND_LISTENER:
        filter->with_listeners = true;
        break;
      case pb::OBJECT_KIND_POOL:
        filter->with_pools = true;
        break;
      case pb::OBJECT_KIND_BACKEND:
        filter->with_backends = true;
        break;
      case pb::OBJECT_KIND_LEASE:
        filter->with_leases = true;
        break;
      default:
        error->Add(
            BadFieldAt(kind, fmt::format("{} is not a kind; {}", static_cast<int>(proto.kinds(i)),
                                         AllowedValues(pb::ObjectKind_descriptor()))));
    }
  }
}

control::Filter FilterFromProto(const pb::Filter& proto, const FieldPath& path, FirstError* error) {
  control::Filter filter;
  filter.pools.assign(proto.pools().begin(), proto.pools().end());
  filter.listeners.assign(proto.listeners().begin(), proto.listeners().end());
  SetKinds(proto, path, &filter, error);
  if (proto.has_backends()) {
    filter.backends = SelectorFromProto(proto.backends(), path.Field("backends"), error);
  }
  for (int i = 0; i < proto.states_size(); ++i) {
    const FieldPath field = path.Field("states", i);
    const auto state = error->Take(FromProto(proto.states(i), field));
    if (state) {
      filter.states.push_back(*state);
    } else {
      error->Add(BadFieldAt(
          field, fmt::format("is not set; {}", AllowedValues(pb::BackendState_descriptor()))));
    }
  }
  return filter;
}

bool IsConfigOnly(pb::View view, FirstError* error) {
  if (view != pb::VIEW_UNSPECIFIED && view != pb::VIEW_FULL && view != pb::VIEW_CONFIG) {
    error->Add(BadFieldAt(FieldPath().Field("view"),
                          fmt::format("{} is not a view; {}", static_cast<int>(view),
                                      AllowedValues(pb::View_descriptor()))));
  }
  return view == pb::VIEW_CONFIG;
}

}  // namespace

absl::StatusOr<control::ApplyRequest> FromProto(const pb::ApplyRequest& request) {
  const FieldPath root;
  FirstError error;
  control::ApplyRequest model;
  model.owner = OwnerOf(request.owner());
  model.ops.reserve(request.ops_size());
  for (int i = 0; i < request.ops_size() && error.ok(); ++i) {
    model.ops.push_back(OpFromProto(request.ops(i), root.Field("ops", i), &error));
  }
  if (request.has_expected_revision()) model.expected_revision = request.expected_revision();
  model.validate_only = request.validate_only();
  model.wait = error.Take(FromProto(request.wait(), root.Field("wait")))
                   .value_or(control::WaitFor::kApplied);
  if (request.has_wait_timeout()) {
    model.wait_timeout = error.Take(FromProto(request.wait_timeout(), root.Field("wait_timeout")));
  }
  model.comment = request.comment();
  model.allow_mass_removal = request.allow_mass_removal();
  model.holder = request.holder();
  model.request_id = request.request_id();
  if (!model.request_id.empty()) model.payload = PayloadOf(request);
  return error.Result(std::move(model));
}

absl::StatusOr<control::RenewLeaseRequest> FromProto(const pb::RenewLeaseRequest& request) {
  const FieldPath root;
  FirstError error;
  control::RenewLeaseRequest model;
  model.owner = OwnerOf(request.owner());
  model.holder = request.holder();
  if (request.has_ttl()) model.ttl = error.Take(FromProto(request.ttl(), root.Field("ttl")));
  if (request.has_grace()) {
    model.grace = error.Take(FromProto(request.grace(), root.Field("grace")));
  }
  model.on_expiry = error.Take(FromProto(request.on_expiry(), root.Field("on_expiry")));
  model.take_over = request.take_over();
  model.release = request.release();
  return error.Result(std::move(model));
}

absl::StatusOr<StateQuery> FromProto(const pb::GetStateRequest& request) {
  const FieldPath root;
  FirstError error;
  StateQuery query;
  query.filter = FilterFromProto(request.filter(), root.Field("filter"), &error);
  query.is_config_only = IsConfigOnly(request.view(), &error);
  if (request.page_size() < 0) {
    error.Add(BadFieldAt(root.Field("page_size"),
                         fmt::format("{} is negative; allowed: 0 ({}) to {}", request.page_size(),
                                     kDefaultPageSize, kMaxPageSize)));
  }
  const int32_t size = request.page_size() > 0 ? request.page_size() : kDefaultPageSize;
  query.page_size = static_cast<size_t>(std::min(size, kMaxPageSize));
  query.min_revision = request.min_revision();
  return error.Result(std::move(query));
}

absl::StatusOr<StatsQuery> FromProto(const pb::GetStatsRequest& request) {
  const FieldPath root;
  FirstError error;
  StatsQuery query;
  query.filter = FilterFromProto(request.filter(), root.Field("filter"), &error);
  query.reset_peaks = request.reset_peaks();
  return error.Result(std::move(query));
}

absl::StatusOr<WatchQuery> FromProto(const pb::WatchRequest& request) {
  const FieldPath root;
  FirstError error;
  WatchQuery query;
  query.filter = FilterFromProto(request.filter(), root.Field("filter"), &error);
  query.is_config_only = IsConfigOnly(request.view(), &error);
  query.resume_epoch = request.resume_epoch();
  query.resume_position = request.resume_position();
  query.skip_snapshot = request.skip_snapshot();
  query.heartbeat_interval = kDefaultHeartbeat;
  if (request.has_heartbeat_interval()) {
    const FieldPath field = root.Field("heartbeat_interval");
    query.heartbeat_interval = error.Take(FromProto(request.heartbeat_interval(), field));
    if (error.ok() &&
        (query.heartbeat_interval < kMinHeartbeat || query.heartbeat_interval > kMaxHeartbeat)) {
      error.Add(BadFieldAt(field, fmt::format("{} is outside of what is allowed: {} to {}",
                                              absl::FormatDuration(query.heartbeat_interval),
                                              absl::FormatDuration(kMinHeartbeat),
                                              absl::FormatDuration(kMaxHeartbeat))));
    }
  }
  if (request.resume_epoch().empty() && request.resume_position() != 0) {
    error.Add(BadFieldAt(root.Field("resume_epoch"),
                         "is empty; a position is of use only with the epoch that it is from"));
  }
  return error.Result(std::move(query));
}

absl::StatusOr<ShutdownQuery> FromProto(const pb::ShutdownRequest& request) {
  const FieldPath root;
  ShutdownQuery query{.comment = request.comment()};
  switch (request.mode()) {
    case pb::SHUTDOWN_MODE_DRAIN:
      break;
    case pb::SHUTDOWN_MODE_CANCEL:
      query.is_cancel = true;
      break;
    default:
      return BadFieldAt(
          root.Field("mode"),
          fmt::format("{} is no mode of a shutdown; {}", static_cast<int>(request.mode()),
                      AllowedValues(pb::ShutdownMode_descriptor())));
  }
  if (request.has_drain_timeout()) {
    const FieldPath path = root.Field("drain_timeout");
    const auto timeout = FromProto(request.drain_timeout(), path);
    if (!timeout.ok()) return timeout.status();
    if (*timeout < absl::ZeroDuration() || *timeout > kMaxDrainTimeout) {
      return BadFieldAt(path, fmt::format("{} is outside of what is allowed: 0s to 24h",
                                          absl::FormatDuration(*timeout)));
    }
    query.drain_timeout = *timeout;
  }
  if (absl::Status status = control::ValidateRequestId(request.request_id()); !status.ok()) {
    return status;
  }
  if (query.comment.size() > control::kMaxText) {
    return BadFieldAt(root.Field("comment"), fmt::format("has {} bytes; allowed: {}",
                                                         query.comment.size(), control::kMaxText));
  }
  return query;
}

absl::StatusOr<control::AuditQuery> FromProto(const pb::ListAuditRequest& request) {
  const FieldPath root;
  control::AuditQuery query;
  query.since_revision = request.since_revision();
  query.owner = request.owner();
  if (request.page_size() < 0) {
    return BadFieldAt(root.Field("page_size"),
                      fmt::format("{} is negative; allowed: 0 ({}) to {}", request.page_size(),
                                  kDefaultAuditPage, kMaxAuditPage));
  }
  const int32_t size = request.page_size() > 0 ? request.page_size() : kDefaultAuditPage;
  query.limit = static_cast<size_t>(std::min(size, kMaxAuditPage));
  if (const std::string& token = request.page_token(); !token.empty()) {
    const char* const end = token.data() + token.size();
    const auto parsed = std::from_chars(token.data(), end, query.before);
    if (parsed.ec != std::errc() || parsed.ptr != end) {
      return control::MakeError(
          absl::StatusCode::kInvalidArgument,
          "page_token: it is not one that ListAudit gave; allowed: next_page_token of the page "
          "before",
          {.reason = "BAD_TOKEN", .violations = {{"page_token", "not one of ListAudit"}}});
    }
  }
  return query;
}

uint64_t PayloadOf(const pb::ApplyRequest& request) {
  pb::ApplyRequest asked = request;
  asked.clear_request_id();
  asked.clear_wait();
  asked.clear_wait_timeout();
  std::string bytes;
  {
    google::protobuf::io::StringOutputStream stream(&bytes);
    google::protobuf::io::CodedOutputStream coded(&stream);
    coded.SetSerializationDeterministic(true);  // maps have no order of their own
    asked.SerializeToCodedStream(&coded);
  }
  return control::Fnv1a64(bytes);
}

}  // namespace sidelb::rpc
