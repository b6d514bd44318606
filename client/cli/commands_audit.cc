// audit.
#include <algorithm>

#include "client/cli/commands.h"
#include "client/cli/json_output.h"
#include "client/cli/report.h"
#include "client/cli/table.h"
#include "client/cli/values.h"
#include "fmt/format.h"

namespace sidelb::client {
namespace {

std::string ResultOf(const pb::AuditEntry& entry) {
  if (entry.code() == 0) return "ok";
  if (!entry.error_reason().empty()) return entry.error_reason();
  return absl::StatusCodeToString(static_cast<absl::StatusCode>(entry.code()));
}

Table AuditTable(const pb::ListAuditResponse& audit) {
  Table table({"TIME", "REVISION", "OWNER", "PRINCIPAL", "RESULT", "SUMMARY", "COMMENT"});
  for (const pb::AuditEntry& entry : audit.entries()) {
    table.AddRow(
        {{absl::FormatTime("%Y-%m-%dT%H:%M:%SZ", FromProto(entry.time()), absl::UTCTimeZone())},
         {fmt::to_string(entry.revision())},
         {entry.owner()},
         {entry.principal()},
         {ResultOf(entry), entry.code() == 0 ? Tone::kGood : Tone::kBad},
         {entry.summary()},
         {entry.comment()}});
  }
  return table;
}

}  // namespace

ExitCode RunCommand(const Invocation& invocation, const AuditCommand& command) {
  const Streams& streams = invocation.streams;
  pb::ListAuditRequest request;
  request.set_owner(command.owner);
  request.set_since_revision(command.since_revision);
  pb::ListAuditResponse all;
  do {
    request.set_page_size(static_cast<int32_t>(command.count) - all.entries_size());
    auto page = invocation.calls.list_audit(request);
    if (!page.ok()) return PrintError(page.status(), invocation.arguments.global.output, streams);
    for (pb::AuditEntry& entry : *page->mutable_entries()) *all.add_entries() = std::move(entry);
    request.set_page_token(page->next_page_token());
  } while (!request.page_token().empty() &&
           static_cast<uint32_t>(all.entries_size()) < command.count);
  // The latest last, as in a log.
  std::reverse(all.mutable_entries()->begin(), all.mutable_entries()->end());
  if (invocation.arguments.global.output == Output::kJsonLines) {
    for (const pb::AuditEntry& entry : all.entries()) {
      streams.out << ToJson(entry, JsonLayout::kLine, JsonFields::kAll);
    }
    return ExitCode::kOk;
  }
  if (invocation.is_json()) {
    PrintMessage(invocation, all);
    return ExitCode::kOk;
  }
  const Table table = AuditTable(all);
  if (table.is_empty()) {
    streams.err << "no writes\n";
  } else {
    streams.out << table.Render(streams.out_colour);
  }
  return ExitCode::kOk;
}

}  // namespace sidelb::client
