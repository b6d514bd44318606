// What is done with backends: add, set, rm (with the nouns below them), replace, drain, enable,
// disable.
#include "client/cli/verbs.h"
#include "fmt/format.h"

namespace sidelb::client {
namespace {

enum class For { kAdd, kSet };

void AddAttributeOptions(CLI::App* app, For use, BackendAttributes* attributes) {
  const bool is_set = use == For::kSet;
  AddParsed(
      app, "--weight", "N",
      is_set ? "0 to 65535, or default; an override where only other owners claim the backend"
             : "0 to 65535, 100; 0 = no new sessions",
      [is_set](const std::string& text) -> absl::StatusOr<std::optional<uint32_t>> {
        if (is_set && text == "default") return std::optional<uint32_t>();
        auto weight = NumberParser(0, 65'535)(text);
        if (!weight.ok()) return weight.status();
        return std::optional<uint32_t>(*weight);
      },
      StoreTo(&attributes->weight));
  AddParsed(app, "--max-connections", "N", "Sessions at a time, 0 = unlimited",
            NumberParser(0, UINT32_MAX), StoreTo(&attributes->max_connections));
  AddParsed(app, "--zone", "ZONE", "Where it runs", AsText, StoreTo(&attributes->zone));
  AddParsed(app, "--group", "GROUP", "What it shares its fate with", AsText,
            StoreTo(&attributes->group));
  AddPriorityOptions(app, attributes);
  AddParsedList(
      app, "--tag", is_set ? "KEY=VALUE|KEY-" : "KEY=VALUE",
      is_set ? "Set a tag, or remove it with KEY-; may be given several times"
             : "A tag; may be given several times",
      [is_set, attributes](const std::string& text) -> absl::StatusOr<std::string> {
        if (is_set && text.size() > 1 && text.ends_with('-') &&
            text.find('=') == std::string::npos) {
          attributes->removed_tags.push_back(text.substr(0, text.size() - 1));
          return text;
        }
        auto tag = ParseTag(text);
        if (!tag.ok()) return tag.status();
        attributes->tags.push_back(*std::move(tag));
        return text;
      },
      [](const std::string&) {});
}

// POOL ADDR... as the positional arguments of `app`.
template <typename BackendCommand>
void AddPoolAndAddresses(CLI::App* app, const std::shared_ptr<BackendCommand>& command) {
  AddPositional(app, "POOL", &command->pool, "The pool");
  AddPositional(app, "ADDR", &command->addresses, "IP:PORT; an IPv6 address in brackets");
}

template <typename BackendCommand>
void CheckPoolAndAddresses(const std::string& verb, BackendCommand* command) {
  if (command->pool.empty() || command->addresses.empty()) {
    FailUsage(verb, "needs POOL and at least one ADDR");
  }
  CheckName("POOL", command->pool);
  command->addresses = CheckAddresses(command->addresses);
}

// Declares the backend form of a verb twice: on the verb itself, and on the noun `backend` below
// it, which reaches pools that are named like a noun.
template <typename Declare>
void AddBackendForm(CLI::App* verb, HelpFormatter* help, const std::string& description,
                    const std::string& usage, Declare declare) {
  verb->require_subcommand(0, 1);
  declare(verb);
  declare(AddVerb(verb, help, "backend", description, usage, ""));
}

void AddAdd(CLI::App* root, HelpFormatter* help, Arguments* arguments) {
  CLI::App* add =
      AddVerb(root, help, "add", "Add backends to a pool; a pool; a listener",
              "add [backend] POOL ADDR... [OPTIONS]\n"
              "       sidelb-cli add pool NAME [--mode MODE ...]\n"
              "       sidelb-cli add listener NAME ADDR --pool POOL [OPTIONS]",
              R"(A backend that the owner claims already becomes exactly what is given here.
A pool that is named like a noun is reached by `add backend POOL ADDR...`.

Examples:
  sidelb-cli add pool web --mode least-connections
  sidelb-cli add web 10.0.0.5:80 [2001:db8::5]:80 --weight 50 --zone a --tag release=7
  sidelb-cli add web 10.0.0.5:80 --create-pool
  sidelb-cli add listener http 0.0.0.0:8080 --pool web --idle-timeout 10m)");
  AddBackendForm(add, help, "Add backends to a pool", "add backend POOL ADDR... [OPTIONS]",
                 [arguments](CLI::App* app) {
                   const auto command = std::make_shared<AddBackendsCommand>();
                   AddPoolAndAddresses(app, command);
                   AddAttributeOptions(app, For::kAdd, &command->attributes);
                   app->add_flag("--create-pool", command->may_create_pool,
                                 "Create the pool, with defaults, when it is missing");
                   app->callback([app, command, arguments] {
                     if (!app->get_subcommands().empty()) return RefuseStrayArguments(app);
                     CheckPoolAndAddresses("add", command.get());
                     arguments->command = *command;
                   });
                 });
}

void AddSet(CLI::App* root, HelpFormatter* help, Arguments* arguments) {
  CLI::App* set = AddVerb(root, help, "set", "Change attributes of backends, a pool, a listener",
                          "set [backend] POOL ADDR... [OPTIONS]\n"
                          "       sidelb-cli set pool NAME [--mode MODE ...]\n"
                          "       sidelb-cli set listener NAME [--pool POOL ...]",
                          R"(What no option names keeps its value.

Examples:
  sidelb-cli set web 10.0.0.5:80 --weight 20
  sidelb-cli set web 10.0.0.5:80 --weight 5 --ttl 10m --reason "cold cache"
  sidelb-cli set web 10.0.0.5:80 --tag release=8 --tag canary-
  sidelb-cli set pool web --drain-timeout 2m
  sidelb-cli set listener http --pool web-v2)");
  AddBackendForm(set, help, "Change attributes of backends", "set backend POOL ADDR... [OPTIONS]",
                 [arguments](CLI::App* app) {
                   const auto command = std::make_shared<SetBackendsCommand>();
                   AddPoolAndAddresses(app, command);
                   AddAttributeOptions(app, For::kSet, &command->attributes);
                   AddOverrideOptions(app, &command->ttl, &command->reason);
                   app->callback([app, command, arguments] {
                     if (!app->get_subcommands().empty()) return RefuseStrayArguments(app);
                     CheckPoolAndAddresses("set", command.get());
                     const BackendAttributes& attributes = command->attributes;
                     if (!attributes.weight && !attributes.max_connections && !attributes.zone &&
                         !attributes.group && attributes.tags.empty() &&
                         attributes.removed_tags.empty() && attributes.edits.empty()) {
                       FailUsage("set",
                                 "needs at least one of --weight, --max-connections, --zone, "
                                 "--group, --tag, --priority, --probe-address");
                     }
                     const bool is_weight = attributes.HasOnlyWeight() && *attributes.weight;
                     if (command->ttl && !is_weight) {
                       FailUsage("--ttl", "goes with --weight N alone, which it makes an override");
                     }
                     if (!command->reason.empty() && !is_weight) {
                       FailUsage("--reason", "goes with --weight N alone, as an override");
                     }
                     arguments->command = *command;
                   });
                 });
}

void AddRemove(CLI::App* root, HelpFormatter* help, Arguments* arguments) {
  CLI::App* remove = AddVerb(root, help, "rm", "Remove backends, pools or listeners",
                             "rm [backend] POOL ADDR... [OPTIONS]\n"
                             "       sidelb-cli rm pool NAME... [--force]\n"
                             "       sidelb-cli rm listener NAME...",
                             R"(Removing what is not there is no error.

Examples:
  sidelb-cli rm web 10.0.0.5:80 --drain 60s --wait
  sidelb-cli rm web 10.0.0.5:80 --any-owner
  sidelb-cli rm pool web --force)");
  AddBackendForm(remove, help, "Remove backends from a pool", "rm backend POOL ADDR... [OPTIONS]",
                 [arguments](CLI::App* app) {
                   const auto command = std::make_shared<RemoveBackendsCommand>();
                   AddPoolAndAddresses(app, command);
                   AddParsed(app, "--drain", "DURATION",
                             "How long the sessions may go on: the pool's drain timeout, 30s",
                             ParseDuration, StoreTo(&command->drain_timeout));
                   AddOnTimeoutOption(app, &command->on_timeout);
                   app->add_flag("--any-owner", command->is_any_owner,
                                 "Drop the claims of all owners");
                   app->callback([app, command, arguments] {
                     if (!app->get_subcommands().empty()) return RefuseStrayArguments(app);
                     CheckPoolAndAddresses("rm", command.get());
                     arguments->command = *command;
                   });
                 });
}

void AddReplace(CLI::App* root, HelpFormatter* help, Arguments* arguments) {
  CLI::App* replace = AddVerb(
      root, help, "replace", "Make the owner's backends of a pool exactly those of a file",
      "replace POOL -f FILE|-",
      R"(The file holds one backend a line, "ADDR [weight=N] [max-connections=N] [zone=Z] [group=G]" with
comments after #, or JSON: {"backends": [{"address": "10.0.0.5:80", "weight": 50}]}.

Example:
  dig +short web.example | sed 's/$/:80/' | sidelb-cli replace web -f -)");
  const auto command = std::make_shared<ReplaceCommand>();
  AddPositional(replace, "POOL", &command->pool, "The pool");
  AddParsed(replace, "-f,--file", "FILE", "The file, - for standard input", AsText,
            [command](std::string file) { command->file = std::move(file); });
  replace->add_flag("--allow-empty", command->may_be_empty,
                    "A file without backends is meant: remove all of the owner's");
  replace->callback([command, arguments] {
    if (command->pool.empty()) FailUsage("replace", "needs POOL");
    if (command->file.empty()) FailUsage("replace", "needs -f FILE, or -f - for standard input");
    CheckName("POOL", command->pool);
    arguments->command = *command;
  });
}

void AddOverride(CLI::App* root, HelpFormatter* help, Arguments* arguments,
                 OverrideCommand::Verb verb, const std::string& name,
                 const std::string& description, const std::string& footer) {
  CLI::App* app = AddVerb(
      root, help, name, description,
      fmt::format("{} POOL ADDR...|--zone ZONE|--group GROUP|--tag KEY=VALUE|--all [OPTIONS]",
                  name),
      footer);
  const auto command = std::make_shared<OverrideCommand>();
  command->verb = verb;
  AddPositional(app, "POOL", &command->pool, "The pool");
  AddPositional(app, "ADDR", &command->selector.addresses, "IP:PORT; an IPv6 address in brackets");
  AddSelectorOptions(app, &command->selector);
  app->add_flag("--all", command->selector.is_all, "All backends of the pool");
  if (verb == OverrideCommand::Verb::kDrain) {
    AddParsed(app, "--timeout", "DURATION", "How long the sessions may go on; no limit by default",
              ParseDuration, StoreTo(&command->drain_timeout));
    AddOnTimeoutOption(app, &command->on_timeout);
  }
  if (verb == OverrideCommand::Verb::kEnable) {
    app->add_flag("--force", command->is_forced,
                  "Also where an owner itself says draining or disabled");
  } else {
    AddOverrideOptions(app, &command->ttl, &command->reason);
  }
  app->callback([command, name, arguments] {
    if (command->pool.empty()) FailUsage(name, "needs POOL");
    CheckName("POOL", command->pool);
    if (!CheckSelector(&command->selector)) {
      FailUsage(name, "needs ADDR, --zone, --group, --tag or --all");
    }
    if (command->on_timeout && !command->drain_timeout) {
      FailUsage("--on-timeout", "needs --timeout: a drain without one has no deadline");
    }
    arguments->command = *command;
  });
}

}  // namespace

void AddBackendVerbs(CLI::App* root, HelpFormatter* help, Arguments* arguments) {
  AddAdd(root, help, arguments);
  AddSet(root, help, arguments);
  AddRemove(root, help, arguments);
  AddReplace(root, help, arguments);
  AddOverride(root, help, arguments, OverrideCommand::Verb::kDrain, "drain",
              "Give backends no new session; the old ones go on", R"(Examples:
  sidelb-cli drain web 10.0.0.5:80
  sidelb-cli drain web 10.0.0.5:80 --ttl 30m --reason "kernel update"
  sidelb-cli drain web --zone a --timeout 5m --on-timeout reset --wait)");
  AddOverride(root, help, arguments, OverrideCommand::Verb::kEnable, "enable",
              "Take back drain and disable", "Example:\n  sidelb-cli enable web --all");
  AddOverride(root, help, arguments, OverrideCommand::Verb::kDisable, "disable",
              "Give backends no new session and reset the old ones",
              "Example:\n  sidelb-cli disable web 10.0.0.5:80 --reason \"disk broken\"");
}

}  // namespace sidelb::client
