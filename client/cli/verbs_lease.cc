// lease: ls, renew, hold, release.
#include "client/cli/verbs.h"
#include "fmt/format.h"

namespace sidelb::client {
namespace {

absl::StatusOr<pb::ExpiryAction> ParseExpiryAction(const std::string& text) {
  if (text == "drain") return pb::EXPIRY_ACTION_DRAIN;
  if (text == "remove") return pb::EXPIRY_ACTION_REMOVE;
  if (text == "keep") return pb::EXPIRY_ACTION_KEEP;
  return absl::InvalidArgumentError(
      fmt::format("\"{}\" is not allowed; allowed: drain, remove, keep", text));
}

void AddOwner(CLI::App* app, const std::shared_ptr<LeaseCommand>& command) {
  AddPositional(app, "OWNER", &command->owner, "Whose claims it is about: api:NAME");
}

void AddHolder(CLI::App* app, const std::shared_ptr<LeaseCommand>& command,
               const std::string& description) {
  AddParsed(app, "--holder", "HOLDER", description, AsText,
            [command](std::string holder) { command->holder = std::move(holder); });
}

void AddTerms(CLI::App* app, const std::shared_ptr<LeaseCommand>& command) {
  AddParsed(app, "--ttl", "DURATION",
            "How long it lasts without a renewal: 5s to 24h; renew keeps it, a new one has 30s",
            ParseDuration, StoreTo(&command->ttl));
  AddParsed(app, "--grace", "DURATION", "How long after that nothing is done yet, as --ttl",
            ParseDuration, StoreTo(&command->grace));
  AddParsed(app, "--on-expiry", "EXPIRY",
            "What then becomes of the owner's claims: drain (the default), remove or keep",
            ParseExpiryAction, [command](pb::ExpiryAction action) { command->on_expiry = action; });
  app->add_flag("--take-over", command->takes_over, "Also when another holder has it");
}

void Finish(CLI::App* app, LeaseCommand::Verb verb, const std::string& name,
            const std::shared_ptr<LeaseCommand>& command, Arguments* arguments) {
  command->verb = verb;
  app->callback([verb, name, command, arguments] {
    if (verb != LeaseCommand::Verb::kList && command->owner.empty()) {
      FailUsage("lease " + name, "needs OWNER");
    }
    if (verb == LeaseCommand::Verb::kRenew && command->holder.empty()) {
      FailUsage("lease renew", "needs --holder: who renews");
    }
    if (verb == LeaseCommand::Verb::kHold && command->words.empty()) {
      FailUsage("lease hold", "needs -- and the command that it is held for");
    }
    arguments->command = *command;
  });
}

}  // namespace

void AddLeaseVerbs(CLI::App* root, HelpFormatter* help, Arguments* arguments) {
  CLI::App* lease = AddVerb(
      root, help, "lease", "Owners that promise to renew: list, renew, hold, release",
      "lease ls\n"
      "       sidelb-cli lease hold OWNER [OPTIONS] -- COMMAND...\n"
      "       sidelb-cli lease renew OWNER --holder HOLDER [OPTIONS]\n"
      "       sidelb-cli lease release OWNER [--holder HOLDER]",
      R"(When a lease is not renewed for its ttl and grace, the claims of its owner drain, or what
--on-expiry says. Without a lease they stay.

Examples:
  sidelb-cli lease hold api:web-deployer --ttl 30s -- ./deployer --pool web
  sidelb-cli lease ls)");
  lease->require_subcommand(1);
  {
    const auto command = std::make_shared<LeaseCommand>();
    Finish(AddVerb(lease, help, "ls", "List leases", "lease ls", ""), LeaseCommand::Verb::kList,
           "ls", command, arguments);
  }
  {
    const auto command = std::make_shared<LeaseCommand>();
    CLI::App* app = AddVerb(lease, help, "renew", "Create or renew a lease once",
                            "lease renew OWNER --holder HOLDER [OPTIONS]", "");
    AddOwner(app, command);
    AddHolder(app, command, "Who renews; writes with the same --holder are fenced by it");
    AddTerms(app, command);
    Finish(app, LeaseCommand::Verb::kRenew, "renew", command, arguments);
  }
  {
    const auto command = std::make_shared<LeaseCommand>();
    CLI::App* app = AddVerb(
        lease, help, "hold", "Hold a lease while a command runs",
        "lease hold OWNER [OPTIONS] -- COMMAND...",
        R"(The command finds SIDELB_OWNER and SIDELB_HOLDER in its environment, so that its own calls of
sidelb-cli are fenced. Signals are forwarded to it, and its exit code is passed on: 128 and the
signal that ended it, 127 when it cannot be started. When another holder takes the lease over, the
command is sent SIGTERM and the exit code is 4.)");
    AddOwner(app, command);
    AddPositional(app, "COMMAND", &command->words, "What runs, with its arguments");
    AddHolder(app, command, "The name of this holder: the host, the process and a random number");
    AddTerms(app, command);
    app->add_flag("--keep", command->is_kept,
                  "Do not release it at the end: it lapses unless another holder takes it over");
    Finish(app, LeaseCommand::Verb::kHold, "hold", command, arguments);
  }
  {
    const auto command = std::make_shared<LeaseCommand>();
    CLI::App* app = AddVerb(lease, help, "release", "End a lease; the claims stay and serve",
                            "lease release OWNER [--holder HOLDER]", "");
    AddOwner(app, command);
    AddHolder(app, command, "Only if this one has it; whoever has it by default");
    Finish(app, LeaseCommand::Verb::kRelease, "release", command, arguments);
  }
}

}  // namespace sidelb::client
