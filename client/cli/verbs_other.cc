// What is about the program itself or the API as such: raw, completion.
#include "client/cli/completion.h"
#include "client/cli/raw_methods.h"
#include "client/cli/verbs.h"
#include "fmt/format.h"

namespace sidelb::client {
namespace {

void AddCompletion(CLI::App* root, HelpFormatter* help, Arguments* arguments) {
  CLI::App* app = AddVerb(
      root, help, "completion", "Print a script that completes command lines",
      "completion bash|zsh|fish",
      R"(Verbs and options come from this program; names of pools, backends, listeners, owners, zones,
groups and tags from the daemon, when it answers within 300ms.

Examples:
  source <(sidelb-cli completion bash)      # in ~/.bashrc
  source <(sidelb-cli completion zsh)       # in ~/.zshrc, after compinit
  sidelb-cli completion fish > ~/.config/fish/completions/sidelb-cli.fish)");
  const auto command = std::make_shared<CompletionCommand>();
  AddPositional(app, "SHELL", &command->shell, "bash, zsh or fish");
  app->callback([command, arguments] {
    const std::vector<std::string> allowed = AllowedWords("SHELL");
    if (command->shell.empty()) FailUsage("completion", "needs bash, zsh or fish");
    if (std::find(allowed.begin(), allowed.end(), command->shell) == allowed.end()) {
      FailUsage("SHELL", fmt::format("\"{}\" is not allowed; allowed: {}", command->shell,
                                     fmt::join(allowed, ", ")));
    }
    arguments->command = *command;
  });
}

void AddRaw(CLI::App* root, HelpFormatter* help, Arguments* arguments) {
  CLI::App* app = AddVerb(
      root, help, "raw", "Call a method of the API with a request in JSON",
      "raw METHOD [JSON|-|@FILE]",
      R"(Sends the request as it is, an empty one by default, and prints the response; of a stream one line
for each message, until Ctrl-C. Requests and responses are in proto3 JSON.

Examples:
  sidelb-cli raw GetInfo
  sidelb-cli raw GetState '{"view": "VIEW_CONFIG", "filter": {"pools": ["web"]}}'
  sidelb-cli raw Watch '{}' | jq -c .events)");
  const auto command = std::make_shared<RawCommand>();
  command->request = "{}";
  const std::string methods = fmt::format("{}", fmt::join(RawMethods(), ", "));
  AddPositional(app, "METHOD", &command->method, methods);
  AddPositional(app, "JSON", &command->request, "The request, - for standard input, @ and a file");
  app->callback([command, methods, arguments] {
    if (command->method.empty()) FailUsage("raw", "needs METHOD");
    if (FindRawMethod(command->method) == nullptr) {
      FailUsage("METHOD",
                fmt::format("\"{}\" is not allowed; allowed: {}", command->method, methods));
    }
    arguments->command = *command;
  });
}

}  // namespace

void AddOtherVerbs(CLI::App* root, HelpFormatter* help, Arguments* arguments) {
  AddRaw(root, help, arguments);
  AddCompletion(root, help, arguments);
}

}  // namespace sidelb::client
