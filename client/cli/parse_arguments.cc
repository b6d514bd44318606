#include "client/cli/parse_arguments.h"

#include <array>
#include <tuple>
#include <utility>

#include "client/cli/completion.h"
#include "client/cli/exit_code.h"
#include "client/cli/verbs.h"
#include "fmt/format.h"

namespace sidelb::client {
namespace {

constexpr char kFooter[] = R"(
Examples:
  sidelb-cli get backends
  sidelb-cli add pool web --mode least-connections
  sidelb-cli add web 10.0.0.5:80 10.0.0.6:80 --weight 50
  sidelb-cli add listener http 0.0.0.0:8080 --pool web
  sidelb-cli drain web 10.0.0.5:80 --timeout 5m --wait
  sidelb-cli wait web --for healthy --timeout 1m
  sidelb-cli watch web
  sidelb-cli top
  sidelb-cli export > state.json; sidelb-cli apply -f state.json

Environment: SIDELB_ENDPOINT, SIDELB_TIMEOUT, SIDELB_OUTPUT, SIDELB_OWNER, SIDELB_HOLDER,
  SIDELB_CACERT, SIDELB_CERT, SIDELB_KEY, SIDELB_SERVER_NAME; a flag stands over them.
Exit codes: 0 ok, 1 rejected, 2 usage, 3 unchanged (--error-unchanged), 4 conflict or wrong state,
  5 not found, 6 unreachable, 7 not permitted, 8 wait not reached, 10 diff found differences,
  130 interrupted.)";

absl::StatusOr<Output> ParseOutput(const std::string& text) {
  if (text == "table") return Output::kTable;
  if (text == "wide") return Output::kWide;
  if (text == "json") return Output::kJson;
  if (text == "jsonl") return Output::kJsonLines;
  if (text == "csv") return Output::kCsv;
  return absl::InvalidArgumentError(
      fmt::format("\"{}\" is not allowed; allowed: table, wide, json, jsonl, csv", text));
}

constexpr std::array<std::string_view, 3> kWaitLevels = {"committed", "applied", "drained"};

absl::StatusOr<pb::WaitFor> ParseWait(const std::string& text) {
  if (text == kWaitLevels[0]) return pb::WAIT_FOR_COMMITTED;
  if (text == kWaitLevels[1]) return pb::WAIT_FOR_APPLIED;
  if (text == kWaitLevels[2]) return pb::WAIT_FOR_DRAINED;
  return absl::InvalidArgumentError(
      fmt::format("\"{}\" is not allowed; allowed: committed, applied, drained", text));
}

absl::StatusOr<std::string> ParseOwner(const std::string& text) {
  if (text.empty()) return absl::InvalidArgumentError("is empty; allowed: api:NAME");
  return text;
}

absl::StatusOr<absl::Duration> ParseTimeout(const std::string& text) {
  auto timeout = ParseDuration(text);
  if (timeout.ok() && *timeout <= absl::ZeroDuration()) {
    return absl::InvalidArgumentError(fmt::format("\"{}\" leaves no time to answer", text));
  }
  return timeout;
}

void AddGlobalOptions(CLI::App* root, GlobalOptions* global) {
  AddParsed(root, "--endpoint", "ENDPOINT",
            "unix:PATH or HOST:PORT; else SIDELB_ENDPOINT, /run/sidelb/control.sock, "
            "$XDG_RUNTIME_DIR/sidelb/control.sock",
            AsText, [global](std::string text) { global->endpoint = std::move(text); })
      ->group(kGlobalGroup);
  AddParsed(root, "--timeout", "DURATION",
            "How long the daemon may take to answer, 5s. With drain and wait write it before the "
            "verb: their own --timeout is the drain's, the wait's",
            ParseTimeout, [global](absl::Duration timeout) { global->timeout = timeout; })
      ->group(kGlobalGroup);
  AddParsed(root, "-o,--output", "FORMAT", "table, wide, json or jsonl; csv of stats", ParseOutput,
            [global](Output output) { global->output = output; })
      ->group(kGlobalGroup);
  const auto add_text = [root](const char* name, const char* type, const char* description,
                               std::string* into) {
    AddParsed(root, name, type, description, AsText, [into](std::string text) {
      *into = std::move(text);
    })->group(kGlobalGroup);
  };
  add_text("--cacert", "FILE", "For a HOST:PORT with TLS: who signs the daemon's certificate (PEM)",
           &global->tls.ca);
  add_text("--cert", "FILE", "The certificate to show to the daemon", &global->tls.certificate);
  add_text("--key", "FILE", "Its key", &global->tls.key);
  add_text("--server-name", "NAME", "What the daemon's certificate says, when it is not HOST",
           &global->tls.server_name);
}

// Returns the options, so that verbs that only read can refuse them.
std::vector<CLI::Option*> AddWriteOptions(CLI::App* root, Arguments* arguments) {
  WriteOptions* write = &arguments->write;
  std::vector<CLI::Option*> options = {
      root->add_flag("--dry-run", write->is_dry_run, "Check everything and change nothing"),
      AddParsed(root, "--owner", "OWNER", "On whose behalf claims are written, api:cli", ParseOwner,
                StoreTo(&arguments->global.owner)),
      AddParsed(root, "--comment", "TEXT", "Why, for the daemon's log", AsText,
                StoreTo(&write->comment)),
      AddParsed(
          root, "--expected-revision", "N", "Refuse unless the daemon is at this revision",
          [](const std::string& text) { return ParseNumber(text, 0, UINT64_MAX); },
          StoreTo(&write->expected_revision)),
      AddParsed(root, "--wait", "LEVEL",
                "Return at committed, applied (the default) or drained; drained where no level "
                "follows",
                ParseWait, StoreTo(&write->wait)),
      AddParsed(root, "--wait-timeout", "DURATION",
                "How long --wait may take: 5s; for drained the drain's deadline and 5s, or 1h "
                "when it has none",
                ParseDuration, StoreTo(&write->wait_timeout)),
      root->add_flag("--allow-mass-removal", write->allows_mass_removal,
                     "Also when most of a pool's serving backends go"),
      AddParsed(root, "--holder", "HOLDER", "Only while it holds the owner's lease, and renew that",
                AsText, StoreTo(&write->holder)),
      AddParsed(root, "--request-id", "ID",
                "Make the change once, however often this is run; a new one by default", AsText,
                StoreTo(&write->request_id)),
      root->add_flag("--error-unchanged", write->is_unchanged_an_error,
                     "Exit with 3 when everything was so already"),
  };
  for (CLI::Option* option : options) option->group(kWriteGroup);
  return options;
}

// Works around what CLI11 cannot express:
// - `--wait` may stand without a value before a positional argument, and means drained then;
// - `--zone=` is an empty value, which CLI11 would fill from the next argument.
std::vector<std::string> Prepare(const std::vector<std::string>& words) {
  std::vector<std::string> prepared;
  bool are_options_over = false;
  for (size_t i = 0; i < words.size(); ++i) {
    const std::string& word = words[i];
    if (word == "--") are_options_over = true;
    if (!are_options_over && word == "--wait") {
      const std::string next = i + 1 < words.size() ? words[i + 1] : std::string();
      const bool has_level =
          std::find(kWaitLevels.begin(), kWaitLevels.end(), next) != kWaitLevels.end();
      prepared.push_back(has_level ? word : "--wait=drained");
    } else if (!are_options_over && word.size() > 3 && word.starts_with("--") &&
               word.find('=') == word.size() - 1) {
      prepared.push_back(word.substr(0, word.size() - 1));
      prepared.push_back("");
    } else {
      prepared.push_back(word);
    }
  }
  return prepared;
}

// Fills in what no flag set.
absl::Status ApplyVariables(const CLI::App& root, const GetVariable& get_variable,
                            GlobalOptions* global, WriteOptions* write) {
  const auto apply = [&](const char* variable, const char* option, auto parse,
                         auto store) -> absl::Status {
    const auto text = get_variable(variable);
    if (!text || text->empty() || root.get_option(option)->count() > 0) return absl::OkStatus();
    auto value = parse(*text);
    if (!value.ok()) {
      return UsageError(fmt::format("{}: {}", variable, std::string(value.status().message())));
    }
    store(*value);
    return absl::OkStatus();
  };
  if (auto status = apply("SIDELB_TIMEOUT", "--timeout", ParseTimeout,
                          [&](absl::Duration timeout) { global->timeout = timeout; });
      !status.ok()) {
    return status;
  }
  if (auto status = apply("SIDELB_OUTPUT", "--output", ParseOutput,
                          [&](Output output) { global->output = output; });
      !status.ok()) {
    return status;
  }
  if (auto status = apply("SIDELB_HOLDER", "--holder", AsText,
                          [&](const std::string& holder) { write->holder = holder; });
      !status.ok()) {
    return status;
  }
  for (const auto& [variable, option, into] :
       {std::tuple{"SIDELB_CACERT", "--cacert", &global->tls.ca},
        std::tuple{"SIDELB_CERT", "--cert", &global->tls.certificate},
        std::tuple{"SIDELB_KEY", "--key", &global->tls.key},
        std::tuple{"SIDELB_SERVER_NAME", "--server-name", &global->tls.server_name}}) {
    auto status =
        apply(variable, option, AsText, [into = into](const std::string& text) { *into = text; });
    if (!status.ok()) return status;
  }
  return apply("SIDELB_OWNER", "--owner", ParseOwner,
               [&](const std::string& owner) { global->owner = owner; });
}

// "sidelb-cli add listener", for "Try: sidelb-cli add listener --help".
std::string ParsedPath(const CLI::App& root) {
  std::string path = "sidelb-cli";
  const CLI::App* app = &root;
  while (!app->get_subcommands().empty()) {
    app = app->get_subcommands().front();
    path += " " + app->get_name();
  }
  return path;
}

bool IsRead(const Command& command) {
  return std::holds_alternative<GetCommand>(command) ||
         std::holds_alternative<DescribeCommand>(command) ||
         std::holds_alternative<ExportCommand>(command) ||
         std::holds_alternative<InfoCommand>(command) ||
         std::holds_alternative<ShowHealthCommand>(command) ||
         std::holds_alternative<WaitCommand>(command) ||
         std::holds_alternative<WatchCommand>(command) ||
         std::holds_alternative<StatsCommand>(command) ||
         std::holds_alternative<TopCommand>(command) ||
         std::holds_alternative<LeaseCommand>(command) ||
         std::holds_alternative<AuditCommand>(command) ||
         std::holds_alternative<VersionCommand>(command) ||
         std::holds_alternative<CompletionCommand>(command) ||
         std::holds_alternative<RawCommand>(command) ||
         std::holds_alternative<GetOwnersCommand>(command);
}

// Formats that not every verb has.
absl::Status CheckOutput(const Arguments& arguments) {
  const Output output = arguments.global.output;
  if (output == Output::kCsv && !std::holds_alternative<StatsCommand>(arguments.command)) {
    return absl::InvalidArgumentError("-o csv is for stats only");
  }
  const bool is_json = output == Output::kJson || output == Output::kJsonLines;
  const auto* get = std::get_if<GetCommand>(&arguments.command);
  if (is_json && get != nullptr && get->is_watching) {
    return absl::InvalidArgumentError("get -w prints tables only; for JSON use watch -o jsonl");
  }
  if (is_json && std::holds_alternative<TopCommand>(arguments.command)) {
    return absl::InvalidArgumentError("top prints text only; for JSON use stats -o json");
  }
  return absl::OkStatus();
}

constexpr char kVersion[] = "sidelb-cli " SIDELB_VERSION;

// Hidden: what the scripts of `completion` call, as `__complete -- WORD...`.
constexpr char kCompleteVerb[] = "__complete";
constexpr absl::Duration kCompleteTimeout = absl::Milliseconds(300);

Arguments CompleteArguments(const std::vector<std::string>& words,
                            const GetVariable& get_variable) {
  std::vector<std::string> line(words.begin() + 1, words.end());
  if (!line.empty() && line.front() == "--") line.erase(line.begin());
  Completion completion = CompleteLine(line);
  std::vector<std::string> global_line = completion.global_words;
  global_line.push_back("version");
  const auto parsed = ParseArguments(global_line, get_variable);
  Arguments arguments;
  if (parsed.ok() && std::holds_alternative<Arguments>(*parsed)) {
    arguments.global = std::get<Arguments>(*parsed).global;
  } else {
    completion.names = Completion::Names::kNone;  // the line does not say where the daemon is
  }
  arguments.global.timeout = kCompleteTimeout;
  arguments.command = CompleteCommand{std::move(completion)};
  return arguments;
}

// The verbs that are in no group yet.
void SetGroup(CLI::App* root, const char* group) {
  for (CLI::App* verb : root->get_subcommands([](CLI::App*) { return true; })) {
    if (verb->get_group() == "Subcommands") verb->group(group);
  }
}

}  // namespace

std::vector<CLI::Option*> DeclareCommandLine(CLI::App* root, HelpFormatter* help,
                                             Arguments* arguments) {
  root->name("sidelb-cli");
  root->description("Drives a running sidelb over its control endpoint.");
  // It only refers to it.
  root->formatter(std::shared_ptr<HelpFormatter>(std::shared_ptr<void>(), help));
  root->footer(kFooter);
  root->set_help_flag("-h,--help", "Print this help; also after each verb");
  root->set_version_flag("--version", kVersion, "Print the version of this program");
  root->require_subcommand(1);
  AddGlobalOptions(root, &arguments->global);
  std::vector<CLI::Option*> write_options = AddWriteOptions(root, arguments);
  AddReadVerbs(root, help, arguments);
  AddWatchVerbs(root, help, arguments);
  SetGroup(root, kLookingVerbs);
  AddBackendVerbs(root, help, arguments);
  AddObjectVerbs(root, help, arguments);
  AddDiffVerb(root, help, arguments);
  AddHealthVerb(root, help, arguments);
  SetGroup(root, kChangingVerbs);
  AddLeaseVerbs(root, help, arguments);
  AddShutdownVerb(root, help, arguments);
  AddOtherVerbs(root, help, arguments);
  SetGroup(root, kOtherVerbs);
  return write_options;
}

absl::StatusOr<std::variant<Arguments, HelpText>> ParseArguments(
    const std::vector<std::string>& words, const GetVariable& get_variable) {
  if (!words.empty() && words.front() == kCompleteVerb) {
    return CompleteArguments(words, get_variable);
  }
  Arguments arguments;
  const auto help = std::make_shared<HelpFormatter>();
  CLI::App root;
  const std::vector<CLI::Option*> write_options = DeclareCommandLine(&root, help.get(), &arguments);

  const auto fail = [&root](std::string_view message) {
    return UsageError(fmt::format("{}. Try: {} --help", message, ParsedPath(root)));
  };
  try {
    std::vector<std::string> reversed = Prepare(words);
    std::reverse(reversed.begin(), reversed.end());  // CLI11 takes them from the back
    root.parse(reversed);
  } catch (const CLI::CallForHelp&) {
    return HelpText{root.help()};
  } catch (const CLI::CallForVersion&) {
    return HelpText{fmt::format("{}\n", kVersion)};
  } catch (const CLI::RequiredError&) {
    // What stands where the verb or the noun should be.
    const std::vector<std::string> unknown = root.remaining(/*recurse=*/true);
    if (!unknown.empty()) return fail(fmt::format("\"{}\" is unknown", unknown.front()));
    return fail(root.get_subcommands().empty() ? "a verb is missing" : "a noun is missing");
  } catch (const CLI::ParseError& error) {
    return fail(error.what());
  }
  const bool is_shutdown = std::holds_alternative<ShutdownCommand>(arguments.command);
  if (IsRead(arguments.command) || is_shutdown) {
    for (const CLI::Option* option : write_options) {
      if (option->count() == 0 || (is_shutdown && option->get_name() == "--comment")) continue;
      return fail(fmt::format("{} is for writes only", option->get_name()));
    }
  }
  if (auto status = ApplyVariables(root, get_variable, &arguments.global, &arguments.write);
      !status.ok()) {
    return status;
  }
  if (auto status = CheckOutput(arguments); !status.ok()) {
    return fail(std::string(status.message()));
  }
  return arguments;
}

}  // namespace sidelb::client
