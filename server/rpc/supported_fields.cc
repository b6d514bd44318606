#include "server/rpc/supported_fields.h"

#include <google/protobuf/descriptor.h>
#include <google/protobuf/unknown_field_set.h>

#include <algorithm>

#include "absl/container/flat_hash_map.h"
#include "fmt/format.h"
#include "server/control/errors.h"
#include "server/rpc/field_path.h"
#include "server/rpc/status.h"

namespace sidelb::rpc {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;

// Messages that are not named here (durations, for example) are writable as a whole.
const std::vector<SupportedFields>& Table() {
  static const auto* const table = new std::vector<SupportedFields>{
      {"sidelb.v1.ApplyRequest",
       {"owner", "ops", "expected_revision", "validate_only", "wait", "wait_timeout", "comment",
        "allow_mass_removal", "holder", "request_id"}},
      {"sidelb.v1.Op",
       {"put_listener", "remove_listener", "put_pool", "remove_pool", "upsert_backends",
        "remove_backends", "replace_backends", "set_mode", "set_override", "import_state",
        "expected_revision"}},
      {"sidelb.v1.Import", {"state", "replace_all"}},
      {"sidelb.v1.State", {"listeners", "pools", "backends"}},
      {"sidelb.v1.Backend",
       {"pool", "address", "claims", "override"},
       {"effective", "status", "revision"}},
      {"sidelb.v1.Claim", {"owner", "spec"}, {"revision", "lease_expired", "order"}},
      {"sidelb.v1.RemovePool", {"pool", "force"}},
      {"sidelb.v1.BackendSet", {"pool", "backends"}},
      {"sidelb.v1.RemoveBackends", {"pool", "addresses", "drain", "any_owner"}},
      {"sidelb.v1.SetMode", {"pool", "mode", "hash_key", "hash_table_size"}},
      {"sidelb.v1.SetOverride", {"pool", "selector", "override", "clear", "clear_parts"}},
      {"sidelb.v1.Selector", {"addresses", "group", "zone", "tags", "owner", "all"}},
      {"sidelb.v1.Listener",
       {"name", "address", "protocol", "pool", "disabled", "max_connections", "idle_timeout",
        "connect_timeout", "connect_attempts", "half_close_timeout", "keepalive", "udp_policy",
        "udp_session_timeout", "udp_unanswered_timeout", "max_sessions_per_client"},
       {"revision", "status"}},
      {"sidelb.v1.Keepalive", {"idle", "interval", "count"}},
      {"sidelb.v1.Pool",
       {"name", "mode", "hash_key", "hash_table_size", "group_by_ip", "drain", "health_check",
        "panic_percent", "slow_start", "ejection_time", "max_ejection_time", "max_ejection_percent",
        "on_unhealthy", "ring_domains"},
       {"revision", "status"}},
      {"sidelb.v1.RingDomain", {"domain", "port", "min_ttl", "max_ttl", "record", "defaults"}},
      {"sidelb.v1.HealthCheck",
       {"kind", "interval", "timeout", "rise", "fall", "send", "expect", "port",
        "passive_failures"}},
      {"sidelb.v1.Drain", {"timeout", "on_timeout"}},
      {"sidelb.v1.BackendSpec",
       {"address", "weight", "max_connections", "zone", "tags", "group", "admin_state", "priority",
        "probe_address"}},
      {"sidelb.v1.RenewLeaseRequest",
       {"owner", "holder", "ttl", "on_expiry", "grace", "take_over", "release"}},
      {"sidelb.v1.Override",
       {"admin_state", "health", "weight", "drain", "ttl", "reason"},
       {"expire_time", "set_by"}},
  };
  return *table;
}

enum class Support : uint8_t { kNotBuilt, kWritable, kOutputOnly };

Support SupportOf(const SupportedFields* row, const FieldDescriptor* field) {
  if (row == nullptr) return Support::kWritable;
  const auto is_in = [field](const std::vector<std::string_view>& names) {
    return std::find(names.begin(), names.end(), std::string_view(field->name())) != names.end();
  };
  if (is_in(row->writable)) return Support::kWritable;
  return is_in(row->output_only) ? Support::kOutputOnly : Support::kNotBuilt;
}

const SupportedFields* RowOf(const google::protobuf::Descriptor* descriptor) {
  using Rows = absl::flat_hash_map<const google::protobuf::Descriptor*, const SupportedFields*>;
  static const Rows* const rows = [] {
    auto* by_type = new Rows;
    for (const SupportedFields& row : Table()) {
      const auto* type = google::protobuf::DescriptorPool::generated_pool()->FindMessageTypeByName(
          std::string(row.message));
      if (type != nullptr) by_type->emplace(type, &row);
    }
    return by_type;
  }();
  const auto found = rows->find(descriptor);
  return found == rows->end() ? nullptr : found->second;
}

class WriteCheck {
 public:
  absl::Status Run(const Message& write) {
    Visit(write, FieldPath());
    if (!unknown_.ok()) return unknown_;
    if (not_built_.empty()) return absl::OkStatus();
    control::ErrorDetails details{.reason = "CAPABILITY", .violations = not_built_};
    std::string message = fmt::format("{} is not supported by this version", not_built_[0].field);
    if (count_ > 1) message += fmt::format(", and {} more of the request", count_ - 1);
    return control::MakeError(absl::StatusCode::kUnimplemented, message, std::move(details));
  }

 private:
  static constexpr size_t kMaxViolations = 20;

  void Visit(const Message& message, const FieldPath& path) {
    const auto* reflection = message.GetReflection();
    if (const auto& unknown = reflection->GetUnknownFields(message); !unknown.empty()) {
      ReportUnknown(message, unknown.field(0).number(), path);
    }
    if (!unknown_.ok()) return;
    const SupportedFields* row = RowOf(message.GetDescriptor());
    std::vector<const FieldDescriptor*> fields;
    reflection->ListFields(message, &fields);
    for (const FieldDescriptor* field : fields) {
      switch (SupportOf(row, field)) {
        case Support::kOutputOnly:
          break;
        case Support::kNotBuilt:
          ReportNotBuilt(path.Field(field->name()));
          break;
        case Support::kWritable:
          Descend(message, field, path);
          break;
      }
    }
  }

  void Descend(const Message& message, const FieldDescriptor* field, const FieldPath& path) {
    if (field->cpp_type() != FieldDescriptor::CPPTYPE_MESSAGE || field->is_map()) return;
    const auto* reflection = message.GetReflection();
    if (!field->is_repeated()) {
      Visit(reflection->GetMessage(message, field), path.Field(field->name()));
      return;
    }
    for (int i = 0; i < reflection->FieldSize(message, field) && unknown_.ok(); ++i) {
      Visit(reflection->GetRepeatedMessage(message, field, i), path.Field(field->name(), i));
    }
  }

  void ReportUnknown(const Message& message, int number, const FieldPath& path) {
    const std::string where = path.ToString();
    unknown_ = control::BadField(where.empty() ? "request" : where,
                                 fmt::format("field number {} is not a field of {} in this "
                                             "version; the client may be newer than the server",
                                             number, message.GetDescriptor()->full_name()));
  }

  void ReportNotBuilt(const FieldPath& path) {
    ++count_;
    if (not_built_.size() == kMaxViolations) return;
    not_built_.push_back({path.ToString(), "is not supported by this version"});
  }

  absl::Status unknown_;
  std::vector<control::FieldViolation> not_built_;
  size_t count_ = 0;
};

}  // namespace

absl::Status CheckWrite(const Message& write) { return WriteCheck().Run(write); }

absl::Span<const SupportedFields> SupportedFieldsTable() { return Table(); }

std::vector<std::string> Capabilities() {
  std::vector<std::string> all = {"rpc:Apply",     "rpc:GetState",   "rpc:Watch",    "rpc:GetStats",
                                  "rpc:GetInfo",   "rpc:RenewLease", "rpc:Shutdown", "rpc:health",
                                  "rpc:ListAudit", "rpc:reflection"};
  for (const SupportedFields& row : Table()) {
    if (row.message != "sidelb.v1.Op") continue;
    for (std::string_view field : row.writable) {
      if (field != "expected_revision") all.push_back(fmt::format("op:{}", field));
    }
  }
  for (std::string_view name : {"mode:round-robin",   "mode:least-connections",
                                "mode:p2c",           "mode:random",
                                "mode:source-hash",   "mode:maglev",
                                "hash-key:source-ip", "hash-key:source-ip-port",
                                "protocol:tcp",       "protocol:udp",
                                "probe:tcp-connect",  "probe:send-expect",
                                "probe:udp",          "provider:ring",
                                "lease:drain",        "lease:remove",
                                "lease:keep",         "guard:mass-removal",
                                "wait:committed",     "wait:applied",
                                "wait:drained"}) {
    all.emplace_back(name);
  }
  return all;
}

}  // namespace sidelb::rpc
