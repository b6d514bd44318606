// Command lines of sidelb-cli.
#include <variant>

#include "client/cli/compile.h"
#include "client/cli/exit_code.h"
#include "client/cli/parse_arguments.h"
#include "tests/fuzz/fuzz.h"

using sidelb::fuzz::Require;
namespace client = sidelb::client;

namespace {

// The request of a command that needs to know nothing of the daemon's state.
std::optional<client::WritePlan> Plan(const client::Arguments& arguments) {
  const auto plan = [&arguments](const auto& command) -> std::optional<client::WritePlan> {
    using Command = std::decay_t<decltype(command)>;
    if constexpr (std::is_same_v<Command, client::AddBackendsCommand>) {
      return client::PlanAddBackends(arguments, command, command.may_create_pool);
    } else if constexpr (std::is_same_v<Command, client::AddPoolCommand>) {
      return client::PlanAddPool(arguments, command);
    } else if constexpr (std::is_same_v<Command, client::AddListenerCommand>) {
      return client::PlanAddListener(arguments, command);
    } else if constexpr (std::is_same_v<Command, client::RemoveBackendsCommand>) {
      return client::PlanRemoveBackends(arguments, command, std::nullopt);
    } else if constexpr (std::is_same_v<Command, client::RemovePoolsCommand>) {
      return client::PlanRemovePools(arguments, command);
    } else if constexpr (std::is_same_v<Command, client::RemoveListenersCommand>) {
      return client::PlanRemoveListeners(arguments, command);
    } else if constexpr (std::is_same_v<Command, client::SetModeCommand>) {
      return client::PlanSetMode(arguments, command);
    } else if constexpr (std::is_same_v<Command, client::OverrideCommand>) {
      return client::PlanOverride(arguments, command);
    } else {
      return std::nullopt;
    }
  };
  return std::visit(plan, arguments.command);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const sidelb::fuzz::CommandLine line(sidelb::fuzz::Text(data, size));
  const auto parsed = client::ParseArguments(
      line.arguments, [&line](const char* name) { return line.Variable(name); });
  if (!parsed.ok()) {
    Require(client::ExitCodeFor(parsed.status()) == client::ExitCode::kUsage,
            "a wrong line is a usage error", std::string(parsed.status().message()));
    Require(!parsed.status().message().empty(), "it says why");
    return 0;
  }
  if (const auto* help = std::get_if<client::HelpText>(&*parsed)) {
    Require(help->text.ends_with('\n'), "help ends its last line", help->text);
    return 0;
  }
  const auto& arguments = std::get<client::Arguments>(*parsed);
  Require(arguments.global.timeout > absl::ZeroDuration(), "there is time to answer");
  if (const auto plan = Plan(arguments)) {
    Require(plan->request.ops_size() > 0, "a write has an op");
    Require(plan->request.validate_only() == arguments.write.is_dry_run, "--dry-run goes along");
  }
  return 0;
}
