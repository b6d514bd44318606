// What is done with pools, listeners and the whole state: the nouns of add, set and rm; mode,
// apply.
#include "client/cli/verbs.h"

namespace sidelb::client {
namespace {

enum class Use { kAdd, kSet };

void CheckSaysSomething(const std::string& verb, const CLI::App* app) {
  const auto given = app->get_options(
      [](const CLI::Option* option) { return !option->get_positional() && option->count() > 0; });
  if (given.empty()) FailUsage(verb, "needs at least one option");
}

void AddListenerOptions(CLI::App* app, Use use, ListenerAttributes* attributes) {
  AddParsed(app, "--pool", "POOL", "Where its sessions go", AsText, StoreTo(&attributes->pool));
  if (use == Use::kSet) {
    AddParsed(
        app, "--address", "ADDR", "Where it accepts",
        [](const std::string& text) { return ParseAddress(text, PortZero::kAllowed); },
        StoreTo(&attributes->address));
  } else {
    AddParsed(app, "--protocol", "PROTOCOL", "tcp (the default) or udp", ParseProtocol,
              StoreTo(&attributes->protocol));
  }
  app->add_flag_function(
      "--disabled,!--enabled", [attributes](int64_t count) { attributes->is_disabled = count > 0; },
      "Keep the configuration and close the socket, or open it again");
  AddParsed(app, "--max-connections", "N", "Sessions at a time, 0 = unlimited",
            NumberParser(0, UINT32_MAX), StoreTo(&attributes->max_connections));
  AddParsed(app, "--idle-timeout", "DURATION", "1h, 0 = off", ParseDuration,
            StoreTo(&attributes->idle_timeout));
  AddParsed(app, "--connect-timeout", "DURATION", "Of one attempt, 3s", ParseDuration,
            StoreTo(&attributes->connect_timeout));
  AddParsed(app, "--connect-attempts", "N", "Distinct backends to try, 3; 1 to 8",
            NumberParser(1, 8), StoreTo(&attributes->connect_attempts));
  AddParsed(app, "--half-close-timeout", "DURATION", "After the first FIN, 30s, 0 = off",
            ParseDuration, StoreTo(&attributes->half_close_timeout));
  AddParsed(app, "--keepalive-idle", "DURATION", "60s, 0 = no keepalive", ParseDuration,
            StoreTo(&attributes->keepalive_idle));
  AddParsed(app, "--keepalive-interval", "DURATION", "15s", ParseDuration,
            StoreTo(&attributes->keepalive_interval));
  AddParsed(app, "--keepalive-count", "N", "4", NumberParser(1, 127),
            StoreTo(&attributes->keepalive_count));
  AddUdpOptions(app, attributes);
}

void AddPoolNouns(CLI::App* root, HelpFormatter* help, Arguments* arguments) {
  const auto add = std::make_shared<AddPoolCommand>();
  CLI::App* add_pool =
      AddVerb(root->get_subcommand("add"), help, "pool", "Create a pool", "add pool NAME [OPTIONS]",
              "Example:\n  sidelb-cli add pool web --mode least-connections");
  AddPositional(add_pool, "NAME", &add->name, "1 to 63 of a-z, 0-9 and -");
  AddPoolOptions(add_pool, &add->attributes);
  add_pool->callback([add, arguments] {
    if (add->name.empty()) FailUsage("add pool", "needs NAME");
    CheckName("NAME", add->name);
    arguments->command = *add;
  });

  const auto set = std::make_shared<SetPoolCommand>();
  CLI::App* set_pool =
      AddVerb(root->get_subcommand("set"), help, "pool", "Change a pool", "set pool NAME [OPTIONS]",
              R"(Examples:
  sidelb-cli set pool web --drain-timeout 2m
  sidelb-cli set pool web --probe-interval 500ms --fall 2
  sidelb-cli set pool cache --probe send-expect --probe-send 'PING\r\n' --probe-expect '+PONG')");
  AddPositional(set_pool, "NAME", &set->name, "The pool");
  AddPoolOptions(set_pool, &set->attributes);
  set_pool->callback([set, set_pool, arguments] {
    if (set->name.empty()) FailUsage("set pool", "needs NAME");
    CheckName("NAME", set->name);
    CheckSaysSomething("set pool", set_pool);
    arguments->command = *set;
  });

  const auto remove = std::make_shared<RemovePoolsCommand>();
  CLI::App* remove_pool = AddVerb(root->get_subcommand("rm"), help, "pool", "Remove pools",
                                  "rm pool NAME... [--force]", "");
  AddPositional(remove_pool, "NAME", &remove->names, "The pools");
  remove_pool->add_flag("--force", remove->is_forced,
                        "Also when it has backends or a listener uses it");
  remove_pool->callback([remove, arguments] {
    if (remove->names.empty()) FailUsage("rm pool", "needs NAME");
    for (const std::string& name : remove->names) CheckName("NAME", name);
    arguments->command = *remove;
  });
}

void AddListenerNouns(CLI::App* root, HelpFormatter* help, Arguments* arguments) {
  const auto add = std::make_shared<AddListenerCommand>();
  const auto address = std::make_shared<std::string>();
  CLI::App* add_listener =
      AddVerb(root->get_subcommand("add"), help, "listener", "Create a listener",
              "add listener NAME ADDR --pool POOL [OPTIONS]", R"(Examples:
  sidelb-cli add listener http 0.0.0.0:8080 --pool web
  sidelb-cli add listener http6 [::]:8080 --pool web    # IPv6 and IPv4)");
  AddPositional(add_listener, "NAME", &add->name, "1 to 63 of a-z, 0-9 and -");
  AddPositional(add_listener, "ADDR", address.get(), "IP:PORT; port 0 lets the kernel choose");
  AddListenerOptions(add_listener, Use::kAdd, &add->attributes);
  add_listener->callback([add, address, arguments] {
    if (add->name.empty() || address->empty()) FailUsage("add listener", "needs NAME and ADDR");
    CheckName("NAME", add->name);
    auto parsed = ParseAddress(*address, PortZero::kAllowed);
    if (!parsed.ok()) FailUsage("ADDR", std::string(parsed.status().message()));
    add->attributes.address = *std::move(parsed);
    if (!add->attributes.pool) FailUsage("add listener", "needs --pool");
    CheckName("--pool", *add->attributes.pool);
    arguments->command = *add;
  });

  const auto set = std::make_shared<SetListenerCommand>();
  CLI::App* set_listener = AddVerb(root->get_subcommand("set"), help, "listener",
                                   "Change a listener", "set listener NAME [OPTIONS]", R"(Examples:
  sidelb-cli set listener http --pool web-v2
  sidelb-cli set listener http --disabled)");
  AddPositional(set_listener, "NAME", &set->name, "The listener");
  AddListenerOptions(set_listener, Use::kSet, &set->attributes);
  set_listener->callback([set, set_listener, arguments] {
    if (set->name.empty()) FailUsage("set listener", "needs NAME");
    CheckName("NAME", set->name);
    if (set->attributes.pool) CheckName("--pool", *set->attributes.pool);
    CheckSaysSomething("set listener", set_listener);
    arguments->command = *set;
  });

  const auto remove = std::make_shared<RemoveListenersCommand>();
  CLI::App* remove_listener = AddVerb(root->get_subcommand("rm"), help, "listener",
                                      "Remove listeners", "rm listener NAME...", "");
  AddPositional(remove_listener, "NAME", &remove->names, "The listeners");
  remove_listener->callback([remove, arguments] {
    if (remove->names.empty()) FailUsage("rm listener", "needs NAME");
    for (const std::string& name : remove->names) CheckName("NAME", name);
    arguments->command = *remove;
  });
}

void AddMode(CLI::App* root, HelpFormatter* help, Arguments* arguments) {
  CLI::App* mode = AddVerb(root, help, "mode", "Switch how a pool picks a backend",
                           "mode POOL MODE [--hash KEY] [--hash-table-size N]",
                           R"(Sessions that exist stay where they are.

Examples:
  sidelb-cli mode web least-connections
  sidelb-cli mode web maglev --hash source-ip-port)");
  const auto command = std::make_shared<SetModeCommand>();
  const auto text = std::make_shared<std::string>();
  AddPositional(mode, "POOL", &command->pool, "The pool");
  AddPositional(mode, "MODE", text.get(),
                "round-robin, least-connections, p2c, random, source-hash or maglev");
  AddParsed(mode, "--hash", "KEY",
            "What source-hash and maglev look at: source-ip or source-ip-port; as it is",
            ParseHashKey, StoreTo(&command->hash_key));
  AddParsed(mode, "--hash-table-size", "N",
            "Slots of source-hash and maglev, a prime from 251 to 655373; as it is",
            NumberParser(1, UINT32_MAX), StoreTo(&command->hash_table_size));
  mode->callback([command, text, arguments] {
    if (command->pool.empty() || text->empty()) FailUsage("mode", "needs POOL and MODE");
    CheckName("POOL", command->pool);
    auto parsed = ParseMode(*text);
    if (!parsed.ok()) FailUsage("MODE", std::string(parsed.status().message()));
    command->mode = *parsed;
    arguments->command = *command;
  });
}

void AddApply(CLI::App* root, HelpFormatter* help, Arguments* arguments) {
  CLI::App* apply = AddVerb(
      root, help, "apply", "Make one atomic change out of a file", "apply -f FILE|- [OPTIONS]",
      R"(The file is JSON: a state as `export` and `get -o json` write it, or an ApplyRequest with "ops".
A state becomes what the file says; what the file does not name stays unless --prune is given.
Claims that name their owners, as `export` prints them, are put as those owners', at once; with
--owner, --adopt, or where no claim names one, only the owner's claims are written.

Examples:
  sidelb-cli apply -f state.json --dry-run
  sidelb-cli apply -f state.json --prune
  echo '{"ops":[{"setMode":{"pool":"web","mode":"MODE_ROUND_ROBIN"}}]}' | sidelb-cli apply -f -)");
  const auto command = std::make_shared<ApplyFileCommand>();
  AddParsed(apply, "-f,--file", "FILE", "The file, - for standard input", AsText,
            [command](std::string file) { command->file = std::move(file); });
  apply->add_flag("--prune", command->prunes,
                  "Remove what the file does not name; of a file that is written as one owner's, "
                  "what other owners claim stays");
  apply->add_flag("--adopt", command->adopts,
                  "Write the claims of all owners in the file as the owner's");
  apply->callback([command, arguments] {
    if (command->file.empty()) FailUsage("apply", "needs -f FILE, or -f - for standard input");
    arguments->command = *command;
  });
}

}  // namespace

void AddObjectVerbs(CLI::App* root, HelpFormatter* help, Arguments* arguments) {
  AddPoolNouns(root, help, arguments);
  AddListenerNouns(root, help, arguments);
  AddMode(root, help, arguments);
  AddApply(root, help, arguments);
}

}  // namespace sidelb::client
