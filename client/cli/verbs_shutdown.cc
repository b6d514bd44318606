// shutdown.
#include "client/cli/verbs.h"

namespace sidelb::client {

void AddShutdownVerb(CLI::App* root, HelpFormatter* help, Arguments* arguments) {
  CLI::App* app = AddVerb(
      root, help, "shutdown", "Drain the daemon and end it, as SIGTERM does",
      "shutdown [--drain DURATION] [--comment TEXT]",
      R"(It cannot be taken back. Returns at once; the daemon ends when the last session has ended, or
when the time is up.

Examples:
  sidelb-cli shutdown
  sidelb-cli shutdown --drain 5m --comment "kernel update")");
  const auto command = std::make_shared<ShutdownCommand>();
  AddParsed(app, "--drain", "DURATION",
            "How long sessions may go on, 0s to 24h; else the daemon's --drain-timeout",
            ParseDuration, StoreTo(&command->drain_timeout));
  app->callback([command, arguments] { arguments->command = *command; });
}

}  // namespace sidelb::client
