// What sidelb-cli says about writes and errors. Data goes to standard output, the rest to standard
// error.
//
// Thread safety: one thread at a time; they write to the invocation's streams.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "client/cli/exit_code.h"
#include "client/cli/invocation.h"

namespace sidelb::client {

// One line for each object that `request` names, or for each set of many:
//   backend/web/10.0.0.5:80 draining (revision 812, applied)
//   backends/web 2 added, 1 removed, 5 unchanged (revision 812, applied)
std::vector<std::string> ResultLines(const pb::ApplyRequest& request,
                                     const pb::ApplyResponse& response);
// The part in brackets, with a space before it.
std::string ResultSuffix(const pb::ApplyRequest& request, const pb::ApplyResponse& response);

// What the batch does, or would do, to traffic: a row for each pool that loses serving backends.
Table ImpactTable(const pb::ApplyResponse& response);

// What the override makes of its backends: "draining", "forced unhealthy".
std::string OverrideWord(const pb::SetOverride& set);

// Which exit code a batch that was accepted gives.
ExitCode ExitCodeFor(const pb::ApplyRequest& request, const pb::ApplyResponse& response,
                     const WriteOptions& write);

// The object that a field path of an error points into: "ops[2].upsert_backends.backends[7].weight"
// is "backend/web/10.0.0.5:80". Empty when there is none.
std::string ObjectAt(const pb::ApplyRequest& request, std::string_view field);

// `message` with every field, in the layout that -o asks for.
void PrintMessage(const Invocation& invocation, const google::protobuf::Message& message);

void PrintWarning(const Streams& streams, std::string_view warning);
void PrintNotice(const Streams& streams, std::string_view notice);
void PrintHint(const Streams& streams, std::string_view hint);

// Prints "error: REASON: message" and the fields at fault, or the google.rpc.Status with -o json,
// and returns the exit code. `request`, if given, is what the daemon refused.
ExitCode PrintError(const absl::Status& status, Output output, const Streams& streams,
                    const pb::ApplyRequest* request = nullptr);

}  // namespace sidelb::client
