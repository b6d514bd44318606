// The verbs of the command line, declared with CLI11. Only parse_arguments.cc and verbs_*.cc
// include this: CLI11 is slow to compile.
//
// Each Add...Verbs() function declares its verbs under `root`; when the line holds one of them its
// command is stored in `arguments` and its name appended to `path`. `root`, `arguments` and `help`
// must outlive the parse. Errors are thrown as CLI::ParseError, CLI11's own way.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "CLI/CLI.hpp"
#include "absl/status/statusor.h"
#include "client/cli/arguments.h"
#include "client/cli/values.h"

namespace sidelb::client {

// CLI11's help with usage lines of our own.
class HelpFormatter : public CLI::Formatter {
 public:
  void SetUsage(const CLI::App* app, std::string usage) { usages_[app] = std::move(usage); }
  // Without runs of empty lines, and long descriptions wrapped.
  std::string make_help(const CLI::App* app, std::string name,
                        CLI::AppFormatMode mode) const override;
  std::string make_usage(const CLI::App* app, std::string name) const override;

 private:
  std::map<const CLI::App*, std::string> usages_;
};

// A verb, or a noun below a verb. `usage` is what follows the program's name.
CLI::App* AddVerb(CLI::App* parent, HelpFormatter* help, const std::string& name,
                  const std::string& description, const std::string& usage,
                  const std::string& footer);

void AddReadVerbs(CLI::App* root, HelpFormatter* help, Arguments* arguments);
void AddBackendVerbs(CLI::App* root, HelpFormatter* help, Arguments* arguments);
void AddObjectVerbs(CLI::App* root, HelpFormatter* help, Arguments* arguments);
void AddHealthVerb(CLI::App* root, HelpFormatter* help, Arguments* arguments);
void AddLeaseVerbs(CLI::App* root, HelpFormatter* help, Arguments* arguments);
void AddWatchVerbs(CLI::App* root, HelpFormatter* help, Arguments* arguments);
void AddShutdownVerb(CLI::App* root, HelpFormatter* help, Arguments* arguments);
void AddDiffVerb(CLI::App* root, HelpFormatter* help, Arguments* arguments);
void AddOtherVerbs(CLI::App* root, HelpFormatter* help, Arguments* arguments);

// All of the above with the global options, in these groups. Returns the options of writes.
inline constexpr char kGlobalGroup[] = "Global options";
inline constexpr char kWriteGroup[] = "Options of writes";
inline constexpr char kLookingVerbs[] = "Verbs that look";
inline constexpr char kChangingVerbs[] = "Verbs that change";
inline constexpr char kOtherVerbs[] = "Other verbs";
std::vector<CLI::Option*> DeclareCommandLine(CLI::App* root, HelpFormatter* help,
                                             Arguments* arguments);

[[noreturn]] inline void FailUsage(const std::string& where, std::string_view why) {
  throw CLI::ValidationError(where, std::string(why));
}

// The value that an option takes must not look like the next option: `--zone --dry-run` would
// otherwise make a real change in the zone "--dry-run".
inline void CheckOptionValue(const std::string& name, const std::string& text) {
  if (text.starts_with("--")) {
    FailUsage(name, "needs a value, and \"" + text + "\" is an option");
  }
}

// An option whose text `parse` turns into a StatusOr of what `store` takes.
template <typename Parse, typename Store>
CLI::Option* AddParsed(CLI::App* app, const std::string& names, const std::string& type,
                       const std::string& description, Parse parse, Store store) {
  const std::string name = names.substr(names.find("--"));
  return app
      ->add_option_function<std::string>(
          names,
          [name, parse, store](const std::string& text) {
            CheckOptionValue(name, text);
            auto value = parse(text);
            if (!value.ok()) FailUsage(name, std::string(value.status().message()));
            store(*std::move(value));
          },
          description)
      ->type_name(type);
}

// The same, and the option may be given several times.
template <typename Parse, typename Store>
CLI::Option* AddParsedList(CLI::App* app, const std::string& names, const std::string& type,
                           const std::string& description, Parse parse, Store store) {
  return app
      ->add_option_function<std::vector<std::string>>(
          names,
          [names, parse, store](const std::vector<std::string>& texts) {
            for (const std::string& text : texts) {
              CheckOptionValue(names, text);
              auto value = parse(text);
              if (!value.ok()) FailUsage(names, std::string(value.status().message()));
              store(*std::move(value));
            }
          },
          description)
      ->type_name(type)
      // One value each: what follows is a positional argument.
      ->allow_extra_args(false);
}

inline absl::StatusOr<std::string> AsText(const std::string& text) { return text; }

// A uint32 from `low` to `high`.
inline auto NumberParser(uint32_t low, uint32_t high) {
  return [low, high](const std::string& text) -> absl::StatusOr<uint32_t> {
    auto number = ParseNumber(text, low, high);
    if (!number.ok()) return number.status();
    return static_cast<uint32_t>(*number);
  };
}

template <typename T>
auto StoreTo(std::optional<T>* target) {
  return [target](T value) { *target = std::move(value); };
}

// A positional argument, or several of them.
template <typename T>
void AddPositional(CLI::App* app, const std::string& name, T* target,
                   const std::string& description) {
  app->add_option(name, *target, description)->type_name("");
}

// Options that several verbs share. `attributes` must outlive the parse.
void AddPoolOptions(CLI::App* app, PoolAttributes* attributes);
void AddPickOptions(CLI::App* app, PoolAttributes* attributes);
void AddRingOptions(CLI::App* app, PoolAttributes* attributes);
void AddHealthOptions(CLI::App* app, PoolAttributes* attributes);
void AddUdpOptions(CLI::App* app, ListenerAttributes* attributes);
void AddPriorityOptions(CLI::App* app, BackendAttributes* attributes);
void AddOnTimeoutOption(CLI::App* app, std::optional<pb::DrainAction>* on_timeout);
// --ttl and --reason of an override.
void AddOverrideOptions(CLI::App* app, std::optional<absl::Duration>* ttl, std::string* reason);
void AddSelectorOptions(CLI::App* app, SelectorArguments* selector);

// Checks what it says, and returns whether it says anything.
bool CheckSelector(SelectorArguments* selector);

// Checks names and addresses that came as positional arguments.
void CheckName(const std::string& what, const std::string& name);
std::vector<std::string> CheckAddresses(const std::vector<std::string>& addresses);

// Below a verb that also takes arguments itself: refuses those when a noun was given too, as in
// `add pool web 10.0.0.5:80` or `add pool web --weight 5`.
void RefuseStrayArguments(const CLI::App* verb);

}  // namespace sidelb::client
