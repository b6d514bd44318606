// get, describe, export, info, version.
#include "client/cli/verbs.h"

namespace sidelb::client {
namespace {

void AddGet(CLI::App* root, HelpFormatter* help, Arguments* arguments) {
  CLI::App* get = AddVerb(root, help, "get", "List listeners, pools, backends or owners",
                          "get listeners|pools [NAME...]\n"
                          "       sidelb-cli get backends [POOL...] [OPTIONS]\n"
                          "       sidelb-cli get owners",
                          R"(Examples:
  sidelb-cli get backends web --state draining
  sidelb-cli get backends web -w
  sidelb-cli get listeners -o wide
  sidelb-cli get backends -o jsonl | jq -r .address)");
  get->require_subcommand(1);

  struct Noun {
    const char* name;
    const char* alias;
    const char* description;
    GetCommand::Noun noun;
  };
  for (const Noun& noun :
       {Noun{"listeners", "listener", "List listeners", GetCommand::Noun::kListeners},
        Noun{"pools", "pool", "List pools", GetCommand::Noun::kPools},
        Noun{"backends", "backend", "List backends", GetCommand::Noun::kBackends}}) {
    const bool is_backends = noun.noun == GetCommand::Noun::kBackends;
    const auto command = std::make_shared<GetCommand>();
    command->noun = noun.noun;
    CLI::App* app = AddVerb(
        get, help, noun.name, noun.description,
        std::string("get ") + noun.name + (is_backends ? " [POOL...] [OPTIONS]" : " [NAME...]"),
        "");
    app->alias(noun.alias);
    AddPositional(app, is_backends ? "POOL" : "NAME", &command->names, "Only these");
    app->add_flag("-w,--watch", command->is_watching,
                  "Go on, and print rows again as they change, until Ctrl-C");
    if (is_backends) {
      AddSelectorOptions(app, &command->selector);
      AddParsedList(app, "--state", "STATE",
                    "Backends in this state: warming, serving, unhealthy, draining, disabled or "
                    "removing; may be given several times",
                    ParseBackendState,
                    [command](pb::BackendState state) { command->states.push_back(state); });
    }
    app->callback([command, arguments] {
      for (const std::string& name : command->names) CheckName("NAME", name);
      arguments->command = *command;
    });
  }
  AddVerb(get, help, "owners", "List who claims backends, and holds leases", "get owners", "")
      ->alias("owner")
      ->callback([arguments] { arguments->command = GetOwnersCommand(); });
}

void AddDescribe(CLI::App* root, HelpFormatter* help, Arguments* arguments) {
  CLI::App* describe =
      AddVerb(root, help, "describe", "Show all about one pool, backend or listener",
              "describe [pool] POOL\n"
              "       sidelb-cli describe [backend] POOL ADDR\n"
              "       sidelb-cli describe listener NAME",
              R"(Examples:
  sidelb-cli describe web
  sidelb-cli describe web 10.0.0.5:80
  sidelb-cli describe listener http)");
  const auto words = std::make_shared<std::vector<std::string>>();
  AddPositional(describe, "WHAT", words.get(), "The noun may be left out for pools and backends");
  describe->callback([words, arguments] {
    DescribeCommand command;
    std::vector<std::string> rest = *words;
    std::string noun;
    // "describe listener" alone is about the pool of that name, "describe listener 10.0.0.5:80"
    // about a backend in it.
    if (rest.size() >= 2 && (rest[0] == "pool" || rest[0] == "listener" || rest[0] == "backend") &&
        !LooksLikeAddress(rest[1])) {
      noun = rest[0];
      rest.erase(rest.begin());
    }
    if (rest.empty()) FailUsage("describe", "needs the name of a pool or of a listener");
    const size_t allowed = noun == "backend" ? 2 : noun.empty() ? 2 : 1;
    if (rest.size() > allowed) FailUsage(rest[allowed], "is one argument too many");
    if (noun == "backend" && rest.size() < 2) FailUsage("describe backend", "needs POOL and ADDR");
    CheckName(noun == "listener" ? "NAME" : "POOL", rest[0]);
    command.name = rest[0];
    if (noun == "listener") command.noun = DescribeCommand::Noun::kListener;
    if (rest.size() == 2) {
      command.noun = DescribeCommand::Noun::kBackend;
      command.address = CheckAddresses({rest[1]}).front();
    }
    arguments->command = command;
  });
}

}  // namespace

void AddReadVerbs(CLI::App* root, HelpFormatter* help, Arguments* arguments) {
  AddGet(root, help, arguments);
  AddDescribe(root, help, arguments);
  AddVerb(root, help, "export", "Print the whole configuration as JSON, for apply -f", "export",
          "Example:\n  sidelb-cli export > state.json")
      ->callback([arguments] { arguments->command = ExportCommand(); });
  AddVerb(root, help, "info", "Show the daemon's version, state, limits and conditions", "info", "")
      ->callback([arguments] { arguments->command = InfoCommand(); });
  AddVerb(root, help, "version", "Print the version of this program", "version", "")
      ->callback([arguments] { arguments->command = VersionCommand(); });
}

}  // namespace sidelb::client
