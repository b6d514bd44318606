#include "client/cli/verbs.h"

#include <sstream>

#include "fmt/format.h"

namespace sidelb::client {
namespace {

// Where CLI11 begins descriptions, and how wide a line may be.
constexpr size_t kDescriptionColumn = 30;
constexpr size_t kMaxColumns = 96;

// `line` broken at words, if it is one with a description that is too long.
std::string Wrap(std::string line) {
  std::string wrapped;
  while (line.size() > kMaxColumns && line.starts_with("  ") &&
         line[kDescriptionColumn - 1] == ' ' && line[kDescriptionColumn] != ' ') {
    const size_t space = line.rfind(' ', kMaxColumns);
    if (space == std::string::npos || space <= kDescriptionColumn) break;
    wrapped += line.substr(0, space) + "\n";
    line = std::string(kDescriptionColumn, ' ') + line.substr(space + 1);
  }
  return wrapped + line + "\n";
}

}  // namespace

std::string HelpFormatter::make_help(const CLI::App* app, std::string name,
                                     CLI::AppFormatMode mode) const {
  std::istringstream lines(CLI::Formatter::make_help(app, std::move(name), mode));
  std::string tidy;
  std::string line;
  bool was_empty = false;
  while (std::getline(lines, line)) {
    if (line.empty() && was_empty) continue;
    was_empty = line.empty();
    tidy += Wrap(std::move(line));
  }
  return tidy;
}

std::string HelpFormatter::make_usage(const CLI::App* app, std::string name) const {
  const auto found = usages_.find(app);
  if (found == usages_.end()) return CLI::Formatter::make_usage(app, std::move(name));
  return fmt::format("\nUsage: sidelb-cli {}\n", found->second);
}

CLI::App* AddVerb(CLI::App* parent, HelpFormatter* help, const std::string& name,
                  const std::string& description, const std::string& usage,
                  const std::string& footer) {
  CLI::App* verb = parent->add_subcommand(name, description);
  verb->fallthrough();  // global options may stand anywhere
  help->SetUsage(verb, usage);
  verb->footer(footer + (footer.empty() ? "" : "\n") +
               "\nGlobal options, and those of all writes: sidelb-cli --help");
  return verb;
}

void AddOnTimeoutOption(CLI::App* app, std::optional<pb::DrainAction>* on_timeout) {
  AddParsed(app, "--on-timeout", "ACTION",
            "What becomes of sessions left at the deadline: reset (the default) or keep",
            ParseDrainAction, StoreTo(on_timeout));
}

void AddPoolOptions(CLI::App* app, PoolAttributes* attributes) {
  AddParsed(app, "--mode", "MODE",
            "round-robin (the default), least-connections, p2c, random, source-hash or maglev",
            ParseMode, StoreTo(&attributes->mode));
  AddPickOptions(app, attributes);
  AddParsed(app, "--drain-timeout", "DURATION",
            "How long the sessions of a removed backend may go on, 30s", ParseDuration,
            StoreTo(&attributes->drain_timeout));
  AddOnTimeoutOption(app, &attributes->on_timeout);
  AddHealthOptions(app, attributes);
  AddRingOptions(app, attributes);
}

void AddOverrideOptions(CLI::App* app, std::optional<absl::Duration>* ttl, std::string* reason) {
  AddParsed(app, "--ttl", "DURATION", "Take it back by itself after this long; never by default",
            ParseDuration, StoreTo(ttl));
  AddParsed(app, "--reason", "TEXT", "Why, shown by describe", AsText,
            [reason](std::string text) { *reason = std::move(text); });
}

void AddSelectorOptions(CLI::App* app, SelectorArguments* selector) {
  AddParsed(app, "--zone", "ZONE", "Backends of this zone", AsText,
            [selector](std::string zone) { selector->zone = std::move(zone); });
  AddParsed(app, "--group", "GROUP", "Backends of this group", AsText,
            [selector](std::string group) { selector->group = std::move(group); });
  AddParsedList(app, "--tag", "KEY=VALUE", "Backends with this tag; may be given several times",
                ParseTag, [selector](std::pair<std::string, std::string> tag) {
                  selector->tags.push_back(std::move(tag));
                });
}

bool CheckSelector(SelectorArguments* selector) {
  selector->addresses = CheckAddresses(selector->addresses);
  const bool has_filter =
      !selector->zone.empty() || !selector->group.empty() || !selector->tags.empty();
  const bool has_any = has_filter || !selector->addresses.empty();
  if (selector->is_all && has_any) {
    FailUsage("--all", "stands for itself; leave out ADDR, --zone, --group and --tag");
  }
  return has_any || selector->is_all;
}

void CheckName(const std::string& what, const std::string& name) {
  const bool is_good =
      !name.empty() && name.size() <= 63 &&
      name.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789-") == std::string::npos;
  if (!is_good) {
    FailUsage(what, fmt::format("\"{}\" is not a name; allowed: 1 to 63 of a-z, 0-9 and -", name));
  }
}

std::vector<std::string> CheckAddresses(const std::vector<std::string>& addresses) {
  std::vector<std::string> checked;
  for (const std::string& text : addresses) {
    auto address = ParseAddress(text, PortZero::kRefused);
    if (!address.ok()) FailUsage("ADDR", std::string(address.status().message()));
    if (std::find(checked.begin(), checked.end(), *address) != checked.end()) {
      FailUsage("ADDR", fmt::format("\"{}\" stands twice", *address));
    }
    checked.push_back(*std::move(address));
  }
  return checked;
}

void RefuseStrayArguments(const CLI::App* verb) {
  const std::string noun = verb->get_subcommands().front()->get_name();
  for (const CLI::Option* option : verb->get_options()) {
    if (option->count() == 0) continue;
    const std::string what =
        option->get_positional() ? option->results().front() : option->get_name();
    FailUsage(what, fmt::format("does not belong to \"{} {}\"", verb->get_name(), noun));
  }
}

}  // namespace sidelb::client
