#include "client/cli/get_objects.h"

#include <algorithm>

#include "client/cli/compile.h"
#include "client/cli/object_tables.h"
#include "client/cli/read_state.h"
#include "client/error_details.h"
#include "fmt/format.h"

namespace sidelb::client {

pb::GetStateRequest RequestFor(const GetCommand& command) {
  pb::GetStateRequest request;
  switch (command.noun) {
    case GetCommand::Noun::kListeners:
      request = ReadRequest({pb::OBJECT_KIND_LISTENER}, {}, pb::VIEW_FULL);
      for (const std::string& name : command.names) {
        request.mutable_filter()->add_listeners(name);
      }
      break;
    case GetCommand::Noun::kPools:
      request = ReadRequest({pb::OBJECT_KIND_POOL}, command.names, pb::VIEW_FULL);
      break;
    case GetCommand::Noun::kBackends: {
      request = ReadRequest({pb::OBJECT_KIND_POOL, pb::OBJECT_KIND_BACKEND}, command.names,
                            pb::VIEW_FULL);
      const pb::Selector selector = ToSelector(command.selector);
      if (selector.ByteSizeLong() > 0) *request.mutable_filter()->mutable_backends() = selector;
      for (pb::BackendState state : command.states) request.mutable_filter()->add_states(state);
      break;
    }
  }
  return request;
}

std::vector<absl::Status> MissingErrors(const GetCommand& command, const pb::State& state) {
  const bool is_listener = command.noun == GetCommand::Noun::kListeners;
  std::vector<absl::Status> errors;
  for (const std::string& name : command.names) {
    const auto is_named = [&name](const auto& object) { return object.name() == name; };
    const bool is_there =
        is_listener ? std::any_of(state.listeners().begin(), state.listeners().end(), is_named)
                    : std::any_of(state.pools().begin(), state.pools().end(), is_named);
    if (is_there) continue;
    errors.push_back(MakeError(
        absl::StatusCode::kNotFound, is_listener ? "LISTENER_NOT_FOUND" : "POOL_NOT_FOUND",
        fmt::format("there is no {} \"{}\"", is_listener ? "listener" : "pool", name)));
  }
  return errors;
}

bool HasFilter(const GetCommand& command) {
  return ToSelector(command.selector).ByteSizeLong() > 0 || !command.states.empty();
}

Table TableFor(const GetCommand& command, const pb::State& state, Output output, absl::Time now,
               const IpGroups& groups) {
  const Columns columns = output == Output::kWide ? Columns::kWide : Columns::kDefault;
  switch (command.noun) {
    case GetCommand::Noun::kListeners:
      return ListenerTable(state, columns);
    case GetCommand::Noun::kPools:
      return PoolTable(state, columns);
    case GetCommand::Noun::kBackends:
      break;
  }
  return BackendTable(state, columns, now, groups);
}

std::string_view NounOf(const GetCommand& command) {
  switch (command.noun) {
    case GetCommand::Noun::kListeners:
      return "listeners";
    case GetCommand::Noun::kPools:
      return "pools";
    case GetCommand::Noun::kBackends:
      break;
  }
  return "backends";
}

}  // namespace sidelb::client
