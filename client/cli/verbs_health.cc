// health: show it, force it, take that back.
#include "client/cli/verbs.h"
#include "fmt/format.h"

namespace sidelb::client {
namespace {

absl::StatusOr<pb::HealthOverride> ParseHealth(const std::string& text) {
  if (text == "healthy") return pb::HEALTH_OVERRIDE_FORCE_HEALTHY;
  if (text == "unhealthy") return pb::HEALTH_OVERRIDE_FORCE_UNHEALTHY;
  return absl::InvalidArgumentError(
      fmt::format("\"{}\" is not allowed; allowed: healthy, unhealthy", text));
}

struct HealthArguments {
  OverrideCommand command;
  std::optional<pb::HealthOverride> force;
  bool is_clear = false;
};

void StoreHealth(const HealthArguments& given, Arguments* arguments) {
  OverrideCommand command = given.command;
  const bool is_selected = CheckSelector(&command.selector);
  if (given.force && given.is_clear) FailUsage("health", "takes --force or --clear, not both");
  if (!command.reason.empty() && !given.force) FailUsage("--reason", "needs --force");
  if (command.ttl && !given.force) FailUsage("--ttl", "needs --force");
  if (!command.pool.empty()) CheckName("POOL", command.pool);
  if (!given.force && !given.is_clear) {
    arguments->command = ShowHealthCommand{command.pool, command.selector};
    return;
  }
  if (command.pool.empty()) FailUsage("health", "needs POOL");
  if (!is_selected) FailUsage("health", "needs ADDR, --zone, --group, --tag or --all");
  command.verb = OverrideCommand::Verb::kHealth;
  if (given.force) command.health = *given.force;
  arguments->command = command;
}

}  // namespace

void AddHealthVerb(CLI::App* root, HelpFormatter* help, Arguments* arguments) {
  CLI::App* app = AddVerb(
      root, help, "health", "Show the health of backends, or force it",
      "health [POOL] [ADDR...|--zone ZONE|--group GROUP|--tag KEY=VALUE|--all]\n"
      "       sidelb-cli health POOL ADDR...|--zone ZONE|... --force healthy|unhealthy\n"
      "       sidelb-cli health POOL ADDR...|--zone ZONE|... --clear",
      R"(A forced health stands over what probes and ejection say, until --clear or --ttl. It is not the admin
state: a drained backend stays drained.

Examples:
  sidelb-cli health web
  sidelb-cli health web 10.0.0.5:80 --force unhealthy --ttl 10m --reason "disk slow"
  sidelb-cli health web --all --clear)");
  const auto given = std::make_shared<HealthArguments>();
  AddPositional(app, "POOL", &given->command.pool, "The pool");
  AddPositional(app, "ADDR", &given->command.selector.addresses,
                "IP:PORT; an IPv6 address in brackets");
  AddSelectorOptions(app, &given->command.selector);
  app->add_flag("--all", given->command.selector.is_all, "All backends of the pool");
  AddParsed(app, "--force", "HEALTH", "healthy or unhealthy, whatever probes say", ParseHealth,
            StoreTo(&given->force));
  AddOverrideOptions(app, &given->command.ttl, &given->command.reason);
  app->add_flag("--clear", given->is_clear, "Let probes decide again");
  app->callback([given, arguments] { StoreHealth(*given, arguments); });
}

}  // namespace sidelb::client
