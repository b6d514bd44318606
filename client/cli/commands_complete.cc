// completion and __complete.
#include "client/cli/commands.h"
#include "client/cli/completion.h"
#include "client/cli/read_state.h"

namespace sidelb::client {
namespace {

using Names = Completion::Names;

pb::GetStateRequest RequestFor(const Completion& completion) {
  const std::vector<std::string> pools =
      completion.pool.empty() ? std::vector<std::string>() : std::vector{completion.pool};
  switch (completion.names) {
    case Names::kPools:
      return ReadRequest({pb::OBJECT_KIND_POOL}, {}, pb::VIEW_CONFIG);
    case Names::kListeners:
      return ReadRequest({pb::OBJECT_KIND_LISTENER}, {}, pb::VIEW_CONFIG);
    case Names::kPoolsAndListeners:
      return ReadRequest({pb::OBJECT_KIND_POOL, pb::OBJECT_KIND_LISTENER}, {}, pb::VIEW_CONFIG);
    default:
      return ReadRequest({pb::OBJECT_KIND_BACKEND}, pools, pb::VIEW_CONFIG);
  }
}

void AddNamesOf(const pb::Backend& backend, Names names, std::vector<std::string>* found) {
  if (names == Names::kAddresses) found->push_back(backend.address());
  for (const pb::Claim& claim : backend.claims()) {
    if (names == Names::kOwners) found->push_back(claim.owner());
    if (names == Names::kZones) found->push_back(claim.spec().zone());
    if (names == Names::kGroups) found->push_back(claim.spec().group());
    if (names != Names::kTags) continue;
    for (const auto& [key, value] : claim.spec().tags()) found->push_back(key + "=" + value);
  }
}

// None when the daemon is away: whoever presses Tab wants no error.
std::vector<std::string> NamesOf(const Invocation& invocation, const Completion& completion) {
  std::vector<std::string> names;
  if (completion.names == Names::kNone) return names;
  const auto read = invocation.calls.get_state(RequestFor(completion));
  if (!read.ok()) return names;
  for (const pb::Pool& pool : read->state().pools()) names.push_back(pool.name());
  for (const pb::Listener& listener : read->state().listeners()) names.push_back(listener.name());
  for (const pb::Backend& backend : read->state().backends()) {
    AddNamesOf(backend, completion.names, &names);
  }
  return names;
}

}  // namespace

ExitCode RunCommand(const Invocation& invocation, const CompletionCommand& command) {
  invocation.streams.out << CompletionScript(command.shell);
  return ExitCode::kOk;
}

ExitCode RunCommand(const Invocation& invocation, const CompleteCommand& command) {
  const Completion& completion = command.completion;
  if (completion.takes_files) {
    invocation.streams.out << ":files\n";
    return ExitCode::kOk;
  }
  std::vector<std::string> candidates = NamesOf(invocation, completion);
  candidates.insert(candidates.end(), completion.words.begin(), completion.words.end());
  for (const std::string& word : Matching(completion, std::move(candidates))) {
    invocation.streams.out << Printable(word) << '\n';
  }
  return ExitCode::kOk;
}

}  // namespace sidelb::client
