// What follows the daemon: wait, watch, stats, top.
#include "client/cli/verbs.h"
#include "fmt/format.h"

namespace sidelb::client {
namespace {

constexpr absl::Duration kShortestInterval = absl::Milliseconds(100);

absl::StatusOr<WaitCommand::Target> ParseTarget(const std::string& text) {
  if (text == "healthy") return WaitCommand::Target::kHealthy;
  if (text == "drained") return WaitCommand::Target::kDrained;
  if (text == "applied") return WaitCommand::Target::kApplied;
  return absl::InvalidArgumentError(
      fmt::format("\"{}\" is not allowed; allowed: healthy, drained, applied", text));
}

absl::StatusOr<pb::ObjectKind> ParseKind(const std::string& text) {
  if (text == "listener") return pb::OBJECT_KIND_LISTENER;
  if (text == "pool") return pb::OBJECT_KIND_POOL;
  if (text == "backend") return pb::OBJECT_KIND_BACKEND;
  if (text == "lease") return pb::OBJECT_KIND_LEASE;
  return absl::InvalidArgumentError(
      fmt::format("\"{}\" is not allowed; allowed: listener, pool, backend, lease", text));
}

absl::StatusOr<pb::View> ParseView(const std::string& text) {
  if (text == "full") return pb::VIEW_FULL;
  if (text == "config") return pb::VIEW_CONFIG;
  return absl::InvalidArgumentError(
      fmt::format("\"{}\" is not allowed; allowed: full, config", text));
}

absl::StatusOr<ResumeToken> ParseToken(const std::string& text) {
  auto token = ParseResumeToken(text);
  if (token) return *std::move(token);
  return absl::InvalidArgumentError(fmt::format(
      "\"{}\" is no token; allowed: EPOCH/POSITION, as watch -o jsonl prints it", text));
}

absl::StatusOr<absl::Duration> ParseInterval(const std::string& text) {
  auto interval = ParseDuration(text);
  if (interval.ok() && *interval < kShortestInterval) {
    return absl::InvalidArgumentError(fmt::format("\"{}\" is too short, at least {}", text,
                                                  absl::FormatDuration(kShortestInterval)));
  }
  return interval;
}

void AddWait(CLI::App* root, HelpFormatter* help, Arguments* arguments) {
  CLI::App* app = AddVerb(
      root, help, "wait", "Wait until backends are healthy or drained, or a change applied",
      "wait POOL [ADDR...] --for healthy|drained [--timeout 30s]\n"
      "       sidelb-cli wait --for applied [--revision N] [--timeout 30s]",
      R"(healthy: every backend that is named, or every one of the pool, is serving and its probes say
healthy. A backend that is named may still have to come.
drained: no backend that is named, or that is draining, disabled or removed, has a session left.
applied: every thread that carries traffic uses the revision, by default the daemon's
current one.

Exits with 8 when that did not come in time, and says what is missing.

Examples:
  sidelb-cli wait web --for healthy --timeout 1m
  sidelb-cli wait web 10.0.0.5:80 --for healthy && sidelb-cli drain web 10.0.0.4:80
  sidelb-cli wait --for applied --revision 1795614195309)");
  const auto command = std::make_shared<WaitCommand>();
  const auto target = std::make_shared<std::optional<WaitCommand::Target>>();
  AddPositional(app, "POOL", &command->pool, "The pool");
  AddPositional(app, "ADDR", &command->addresses, "Only these; all of the pool by default");
  AddParsed(app, "--for", "CONDITION", "healthy, drained or applied", ParseTarget,
            StoreTo(target.get()));
  AddParsed(
      app, "--revision", "N", "applied: the revision to wait for",
      [](const std::string& text) { return ParseNumber(text, 0, UINT64_MAX); },
      StoreTo(&command->revision));
  AddParsed(app, "--timeout", "DURATION", "How long to wait, 30s", ParseDuration,
            [command](absl::Duration timeout) { command->timeout = timeout; });
  app->callback([command, target, arguments] {
    if (!*target) FailUsage("wait", "needs --for healthy, --for drained or --for applied");
    command->target = **target;
    if (command->target != WaitCommand::Target::kApplied) {
      if (command->pool.empty()) FailUsage("wait", "needs POOL");
      if (command->revision) FailUsage("--revision", "belongs to --for applied");
    } else if (!command->addresses.empty()) {
      FailUsage(command->addresses.front(), "does not belong to --for applied");
    }
    if (!command->pool.empty()) CheckName("POOL", command->pool);
    command->addresses = CheckAddresses(command->addresses);
    arguments->command = *command;
  });
}

void AddWatch(CLI::App* root, HelpFormatter* help, Arguments* arguments) {
  CLI::App* app = AddVerb(
      root, help, "watch", "Print every change as it happens, until Ctrl-C",
      "watch [POOL...] [OPTIONS]",
      R"(Connects again by itself, and goes on where it stopped. Each heartbeat proves that nothing was
missed.

With -o jsonl each line is an Event of the API with resumeToken as its last member: after the last
line of that token go on with --resume TOKEN. The objects of a snapshot come with an empty token;
a line with the member snapshot ends them. A line with resync says: forget what you know, a
snapshot follows.

With --exec COMMAND the shell runs COMMAND for each change after the snapshot, one at a time. It gets
the line of -o jsonl on its standard input, and SIDELB_EVENT_KIND (put or removed),
SIDELB_EVENT_OBJECT (backend, pool, listener or lease), SIDELB_EVENT_NAME (web/10.0.0.5:80),
SIDELB_EVENT_POOL, SIDELB_EVENT_STATE (of a backend) and SIDELB_RESUME_TOKEN. That one fails is
reported, and the next one runs nevertheless.

Examples:
  sidelb-cli watch
  sidelb-cli watch --kind backend --exec 'logger "$SIDELB_EVENT_NAME $SIDELB_EVENT_STATE"'
  sidelb-cli watch web --kind backend
  sidelb-cli watch --view config -o jsonl | while read -r line; do ...; done
  sidelb-cli watch -o jsonl --resume 6fd1c2a3/9021)");
  const auto command = std::make_shared<WatchCommand>();
  AddPositional(app, "POOL", &command->pools, "Only these, with their listeners and backends");
  AddParsedList(app, "--kind", "KIND",
                "listener, pool, backend or lease; may be given several times", ParseKind,
                [command](pb::ObjectKind kind) { command->kinds.push_back(kind); });
  AddParsed(app, "--view", "VIEW", "full (the default), or config: without health and other status",
            ParseView, [command](pb::View view) { command->view = view; });
  AddParsed(app, "--resume", "TOKEN", "Only what came after it; a snapshot if that is not kept",
            ParseToken, StoreTo(&command->resume));
  app->add_flag("--heartbeats", command->has_heartbeats, "Also print heartbeats, with -o jsonl");
  AddParsed(app, "--exec", "COMMAND",
            "Have /bin/sh run this for each change, instead of printing it: see above", AsText,
            [command](std::string hook) { command->hook = std::move(hook); });
  app->callback([command, app, arguments] {
    if (app->count("--exec") > 0 && command->hook.empty()) FailUsage("--exec", "is empty");
    if (!command->hook.empty() && command->has_heartbeats) {
      FailUsage("--heartbeats", "does not go with --exec");
    }
    for (const std::string& pool : command->pools) CheckName("POOL", pool);
    arguments->command = *command;
  });
}

void AddStats(CLI::App* root, HelpFormatter* help, Arguments* arguments) {
  CLI::App* app = AddVerb(
      root, help, "stats", "Show the counters of listeners, pools and backends",
      "stats [NAME...] [--exact] [-o table|wide|json|csv]",
      R"(csv has the first 33 columns of HAProxy's "show stat" in its order; what SideLB does not count
stays empty. A listener is a FRONTEND there, a pool a BACKEND.

Examples:
  sidelb-cli stats web
  sidelb-cli stats -o csv | cut -d, -f1,2,5)");
  const auto command = std::make_shared<StatsCommand>();
  AddPositional(app, "NAME", &command->names,
                "Only these pools, with their backends, and listeners");
  app->add_flag("--exact", command->is_exact, "Plain numbers: 1234567 instead of 1.2M");
  app->callback([command, arguments] {
    for (const std::string& name : command->names) CheckName("NAME", name);
    arguments->command = *command;
  });
}

void AddAudit(CLI::App* root, HelpFormatter* help, Arguments* arguments) {
  CLI::App* app =
      AddVerb(root, help, "audit", "Show the last writes, refused ones too", "audit [OPTIONS]",
              R"(Examples:
  sidelb-cli audit -n 5
  sidelb-cli audit --owner api:deploy -o jsonl)");
  const auto command = std::make_shared<AuditCommand>();
  AddParsed(app, "--owner", "OWNER", "Only writes of this owner", AsText,
            [command](std::string owner) { command->owner = std::move(owner); });
  AddParsed(
      app, "--since-revision", "N", "Only writes of this revision and later",
      [](const std::string& text) { return ParseNumber(text, 0, UINT64_MAX); },
      [command](uint64_t revision) { command->since_revision = revision; });
  AddParsed(app, "-n,--count", "N", "The last N, 20", NumberParser(1, 1'000),
            [command](uint32_t count) { command->count = count; });
  app->callback([command, arguments] { arguments->command = *command; });
}

void AddTop(CLI::App* root, HelpFormatter* help, Arguments* arguments) {
  CLI::App* app = AddVerb(
      root, help, "top", "Show the busiest backends, live", "top [POOL] [OPTIONS]",
      R"(Keys: q quit, s sort by the next column, r reverse, space pause, arrows and page keys scroll.
When the output is no terminal, or with -b, frames are printed one below the other.

Examples:
  sidelb-cli top web
  sidelb-cli top -b -n 1)");
  const auto command = std::make_shared<TopCommand>();
  AddPositional(app, "POOL", &command->pool, "Only this one");
  AddParsed(
      app, "-n,--frames", "N", "End after this many frames; 1 with -b unless it is given",
      [](const std::string& text) { return ParseNumber(text, 1, UINT64_MAX); },
      StoreTo(&command->frames));
  app->add_flag("-b,--batch", command->is_batch, "Print frames plainly");
  AddParsed(app, "--interval", "DURATION", "Time between frames, 1s", ParseInterval,
            [command](absl::Duration interval) { command->interval = interval; });
  app->callback([command, arguments] {
    if (!command->pool.empty()) CheckName("POOL", command->pool);
    arguments->command = *command;
  });
}

}  // namespace

void AddWatchVerbs(CLI::App* root, HelpFormatter* help, Arguments* arguments) {
  AddWait(root, help, arguments);
  AddWatch(root, help, arguments);
  AddStats(root, help, arguments);
  AddAudit(root, help, arguments);
  AddTop(root, help, arguments);
}

}  // namespace sidelb::client
