// get owners.
#include <map>
#include <set>

#include "client/cli/commands.h"
#include "client/cli/json_output.h"
#include "client/cli/object_tables.h"
#include "client/cli/read_state.h"
#include "client/cli/report.h"
#include "client/cli/values.h"
#include "fmt/format.h"
#include "google/protobuf/struct.pb.h"

namespace sidelb::client {
namespace {

struct Owner {
  uint32_t claims = 0;
  std::set<std::string> pools;
  std::string holder;  // of its lease; empty = it has none
  bool is_expired = false;
};
using Owners = std::map<std::string, Owner>;

absl::StatusOr<Owners> ReadOwners(const Invocation& invocation) {
  const auto read =
      invocation.calls.get_state(ReadRequest({pb::OBJECT_KIND_BACKEND}, {}, pb::VIEW_CONFIG));
  if (!read.ok()) return read.status();
  const auto info = invocation.calls.get_info();
  if (!info.ok()) return info.status();
  Owners owners;
  for (const pb::Backend& backend : read->state().backends()) {
    for (const pb::Claim& claim : backend.claims()) {
      Owner& owner = owners[claim.owner()];
      ++owner.claims;
      owner.pools.insert(backend.pool());
    }
  }
  for (const pb::Lease& lease : info->leases()) {
    owners[lease.owner()].holder = lease.holder();
    owners[lease.owner()].is_expired = lease.expired();
  }
  return owners;
}

std::string ToJsonLines(const Owners& owners, JsonLayout layout) {
  google::protobuf::Struct all;
  auto* const list = (*all.mutable_fields())["owners"].mutable_list_value();
  std::string lines;
  for (const auto& [name, owner] : owners) {
    google::protobuf::Struct one;
    auto& fields = *one.mutable_fields();
    fields["owner"].set_string_value(name);
    fields["claims"].set_number_value(owner.claims);
    auto* const pools = fields["pools"].mutable_list_value();
    for (const std::string& pool : owner.pools) pools->add_values()->set_string_value(pool);
    fields["leaseHolder"].set_string_value(owner.holder);
    fields["leaseExpired"].set_bool_value(owner.is_expired);
    if (layout == JsonLayout::kLine) lines += ToJson(one, layout, JsonFields::kAll);
    *list->add_values()->mutable_struct_value() = std::move(one);
  }
  return layout == JsonLayout::kLine ? lines : ToJson(all, layout, JsonFields::kAll);
}

}  // namespace

ExitCode RunCommand(const Invocation& invocation, const GetOwnersCommand&) {
  const Output output = invocation.arguments.global.output;
  const Streams& streams = invocation.streams;
  const auto owners = ReadOwners(invocation);
  if (!owners.ok()) return PrintError(owners.status(), output, streams);
  if (invocation.is_json()) {
    streams.out << ToJsonLines(
        *owners, output == Output::kJsonLines ? JsonLayout::kLine : JsonLayout::kIndented);
    return ExitCode::kOk;
  }
  Table table({"OWNER", "CLAIMS", "POOLS", "LEASE"});
  for (const auto& [name, owner] : *owners) {
    const std::string lease = owner.holder.empty() ? ""
                              : owner.is_expired   ? "expired:" + owner.holder
                                                   : "held:" + owner.holder;
    table.AddRow({{name},
                  {fmt::to_string(owner.claims)},
                  {fmt::format("{}", fmt::join(owner.pools, ","))},
                  {lease, owner.is_expired ? Tone::kBad : Tone::kPlain}});
  }
  if (table.is_empty()) {
    streams.err << "no owners\n";
  } else {
    streams.out << table.Render(streams.out_colour);
  }
  return ExitCode::kOk;
}

}  // namespace sidelb::client
