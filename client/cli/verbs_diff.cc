// diff.
#include "client/cli/verbs.h"

namespace sidelb::client {

void AddDiffVerb(CLI::App* root, HelpFormatter* help, Arguments* arguments) {
  CLI::App* app = AddVerb(
      root, help, "diff", "Show what apply with the same file would change",
      "diff -f FILE|- [OPTIONS]",
      R"(A line for each object that apply would add (+), remove (-) or change (~), and the fields of it;
below them the serving backends and the connections that pools would lose, as --dry-run shows them.
Nothing is changed.

Exits with 0 when there is no difference, with 10 when there are some, and as apply does when the
daemon refuses the file.

Examples:
  sidelb-cli diff -f state.json --prune
  sidelb-cli diff -f state.json -o json | jq -r '.changes[].object')");
  const auto command = std::make_shared<DiffCommand>();
  AddParsed(app, "-f,--file", "FILE", "The file, - for standard input", AsText,
            [command](std::string file) { command->apply.file = std::move(file); });
  app->add_flag("--prune", command->apply.prunes, "As apply --prune");
  app->add_flag("--adopt", command->apply.adopts, "As apply --adopt");
  app->callback([command, arguments] {
    if (command->apply.file.empty()) FailUsage("diff", "needs -f FILE, or -f - for standard input");
    arguments->command = *command;
  });
}

}  // namespace sidelb::client
