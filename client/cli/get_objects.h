// What `get` asks for and how it shows it, once or again and again.
//
// Thread safety: pure functions.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "client/cli/arguments.h"
#include "client/cli/ip_groups.h"
#include "client/cli/table.h"

namespace sidelb::client {

// For backends it also asks for the pools, so that a name that is wrong can be told from a pool
// that is empty.
pb::GetStateRequest RequestFor(const GetCommand& command);

// Names that were asked for and are not there, each as an error.
std::vector<absl::Status> MissingErrors(const GetCommand& command, const pb::State& state);

// Of the objects that the command lists.
Table TableFor(const GetCommand& command, const pb::State& state, Output output, absl::Time now,
               const IpGroups& groups = {});
// Whether it shows only some backends of its pools.
bool HasFilter(const GetCommand& command);

// "listeners".
std::string_view NounOf(const GetCommand& command);

}  // namespace sidelb::client
