// What Tab offers: verbs, options and values out of the declared command line, names out of the
// daemon.
#include "client/cli/completion.h"

#include "absl/strings/str_split.h"
#include "client/cli/verbs.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/unit/client/cli_run.h"

namespace sidelb::client {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using testing::SizeIs;
using testing::UnorderedElementsAreArray;

// The candidates with a daemon that answers with `state`, or is away.
std::vector<std::string> Candidates(std::vector<std::string> words,
                                    std::optional<std::string> state = std::nullopt,
                                    ScriptedDaemon* daemon = nullptr) {
  ScriptedDaemon own;
  if (daemon == nullptr) daemon = &own;
  if (state) daemon->state_answers = {AtRevision(1, Parsed<pb::State>(*state))};
  words.insert(words.begin(), {"__complete", "--"});
  const Outcome outcome = RunLine(daemon, words);
  EXPECT_EQ(outcome.exit_code, ExitCode::kOk);
  EXPECT_EQ(outcome.err, "");
  return LinesOf(outcome.out);
}

constexpr char kBackends[] = R"pb(
  backends {
    pool: "web"
    address: "10.0.0.5:80"
    claims {
      owner: "api:cli"
      spec {
        zone: "a"
        group: "g1"
        tags { key: "release" value: "7" }
      }
    }
  }
  backends {
    pool: "web"
    address: "10.0.0.6:80"
    claims {
      owner: "static"
      spec { zone: "b" }
    }
  })pb";

TEST(CompletionTest, OffersTheVerbsThatAreDeclared) {
  HelpFormatter help;
  Arguments arguments;
  CLI::App root;
  DeclareCommandLine(&root, &help, &arguments);
  std::vector<std::string> verbs;
  for (const CLI::App* verb : root.get_subcommands([](CLI::App*) { return true; })) {
    verbs.push_back(verb->get_name());
  }
  std::sort(verbs.begin(), verbs.end());

  EXPECT_EQ(Candidates({""}), verbs);
  EXPECT_EQ(Candidates({}), verbs);
  EXPECT_THAT(verbs, Contains("drain"));
  EXPECT_THAT(Candidates({"dr"}), ElementsAre("drain"));
  EXPECT_THAT(Candidates({"lease", ""}), ElementsAre("hold", "ls", "release", "renew"));
  EXPECT_THAT(Candidates({"get", "li"}), ElementsAre("listeners"));
}

TEST(CompletionTest, OffersOptionsOfTheVerbAndThoseOfAll) {
  EXPECT_THAT(Candidates({"set", "pool", "web", "--hash"}),
              ElementsAre("--hash-key", "--hash-table-size"));
  EXPECT_THAT(Candidates({"rm", "web", "--an"}), ElementsAre("--any-owner"));
  EXPECT_THAT(Candidates({"add", "pool", "web", "--we"}), IsEmpty());
  EXPECT_THAT(Candidates({"add", "pool", "web", "--end"}), ElementsAre("--endpoint"));
  EXPECT_THAT(Candidates({"add", "pool", "web", "--no-g"}), ElementsAre("--no-group-by-ip"));
}

TEST(CompletionTest, OffersOptionsOfWritesToWritesOnly) {
  EXPECT_THAT(Candidates({"drain", "web", "--dry"}), ElementsAre("--dry-run"));
  EXPECT_THAT(Candidates({"set", "pool", "web", "--dry"}), ElementsAre("--dry-run"));
  EXPECT_THAT(Candidates({"get", "backends", "--dry"}), IsEmpty());
  EXPECT_THAT(Candidates({"--dry"}), IsEmpty());
}

TEST(CompletionTest, OffersValuesOfOptions) {
  EXPECT_THAT(Candidates({"add", "pool", "web", "--mode", "r"}),
              ElementsAre("random", "round-robin"));
  EXPECT_THAT(Candidates({"add", "pool", "web", "--mode=m"}), ElementsAre("--mode=maglev"));
  EXPECT_THAT(Candidates({"-o", "js"}), ElementsAre("json", "jsonl"));
  EXPECT_THAT(Candidates({"mode", "web", "p"}), ElementsAre("p2c"));
  EXPECT_THAT(Candidates({"get", "backends", "--state", "dra"}), ElementsAre("draining"));
  EXPECT_THAT(Candidates({"lease", "hold", "api:a", "--on-expiry", "k"}), ElementsAre("keep"));
  EXPECT_THAT(Candidates({"completion", ""}), ElementsAre("bash", "fish", "zsh"));
  EXPECT_THAT(Candidates({"drain", "--timeout", ""}), IsEmpty());
}

TEST(CompletionTest, ALevelAfterWaitMayBeLeftOut) {
  const std::string backend = R"pb(backends { pool: "web" address: "10.0.0.5:80" })pb";
  const std::string pool = R"pb(pools { name: "web" })pb";

  EXPECT_THAT(Candidates({"drain", "web", "--wait", ""}, backend),
              ElementsAre("10.0.0.5:80", "applied", "committed", "drained"));
  EXPECT_THAT(Candidates({"drain", "--wait", "web", ""}, backend), ElementsAre("10.0.0.5:80"));
  EXPECT_THAT(Candidates({"drain", "--wait", "drained", ""}, pool), ElementsAre("web"));
}

// The words of a type, and what the options of that type take, are the same.
TEST(CompletionTest, KnowsTheValuesThatOptionsTake) {
  HelpFormatter help;
  Arguments arguments;
  CLI::App root;
  DeclareCommandLine(&root, &help, &arguments);
  int checked = 0;
  const auto check = [&](CLI::App* app, const auto& self) -> void {
    for (CLI::Option* option : app->get_options([](CLI::Option*) { return true; })) {
      if (option->get_positional()) continue;
      const std::vector<std::string> allowed = AllowedWords(option->get_type_name());
      for (const std::string& word : allowed) {
        option->clear();
        option->add_result(word);
        EXPECT_NO_THROW(option->run_callback()) << option->get_name() << " " << word;
        ++checked;
      }
      if (allowed.empty()) continue;
      option->clear();
      option->add_result("no-such-word");
      try {
        option->run_callback();
        ADD_FAILURE() << option->get_name() << " takes anything";
      } catch (const CLI::ParseError& error) {
        const std::string text = error.what();
        const size_t list = text.find("allowed: ");
        ASSERT_NE(list, std::string::npos) << text;
        const std::vector<std::string> named =
            absl::StrSplit(text.substr(list + sizeof("allowed: ") - 1), ", ");
        EXPECT_THAT(named, UnorderedElementsAreArray(allowed)) << option->get_name();
      }
      option->clear();
    }
    for (CLI::App* below : app->get_subcommands([](CLI::App*) { return true; })) self(below, self);
  };

  check(&root, check);

  EXPECT_GT(checked, 50);
}

TEST(CompletionTest, AsksForNames) {
  const std::string pools = R"pb(pools { name: "web" }
                                 pools { name: "cache" })pb";
  const std::string listeners = R"pb(listeners { name: "http" })pb";
  ScriptedDaemon daemon;

  EXPECT_THAT(Candidates({"top", ""}, pools, &daemon), ElementsAre("cache", "web"));
  EXPECT_THAT(Candidates({"rm", "pool", "web", ""}, pools), ElementsAre("cache", "web"));
  EXPECT_THAT(Candidates({"set", "listener", "h"}, listeners), ElementsAre("http"));
  EXPECT_THAT(Candidates({"describe", "listener", ""}, listeners), ElementsAre("http"));
  EXPECT_THAT(Candidates({"add", "listener", "b", "0.0.0.0:1", "--pool", "w"}, pools),
              ElementsAre("web"));
  EXPECT_THAT(Candidates({"describe", ""}, pools),
              ElementsAre("backend", "cache", "listener", "pool", "web"));
  ASSERT_THAT(daemon.read, SizeIs(1));
  EXPECT_THAT(daemon.read[0].filter().kinds(), ElementsAre(pb::OBJECT_KIND_POOL));
}

TEST(CompletionTest, AsksForBackendsOfThePoolInTheLine) {
  const std::string backends = R"pb(
    backends { pool: "web" address: "10.0.0.5:80" }
    backends { pool: "web" address: "10.0.0.6:80" })pb";
  ScriptedDaemon daemon;

  EXPECT_THAT(Candidates({"drain", "web", "10.0.0.5:80", ""}, backends, &daemon),
              ElementsAre("10.0.0.6:80"));
  EXPECT_THAT(Candidates({"describe", "web", "10.0.0.6"}, backends), ElementsAre("10.0.0.6:80"));
  ASSERT_THAT(daemon.read, SizeIs(1));
  EXPECT_THAT(daemon.read[0].filter().pools(), ElementsAre("web"));
  EXPECT_THAT(daemon.read[0].filter().kinds(), ElementsAre(pb::OBJECT_KIND_BACKEND));
}

TEST(CompletionTest, AsksForWhatClaimsSay) {
  EXPECT_THAT(Candidates({"drain", "web", "--zone", ""}, kBackends), ElementsAre("a", "b"));
  EXPECT_THAT(Candidates({"drain", "web", "--group", ""}, kBackends), ElementsAre("g1"));
  EXPECT_THAT(Candidates({"drain", "web", "--tag", ""}, kBackends), ElementsAre("release=7"));
  EXPECT_THAT(Candidates({"audit", "--owner", ""}, kBackends), ElementsAre("api:cli", "static"));
  EXPECT_THAT(Candidates({"add", "web", "--owner=a"}, kBackends), ElementsAre("--owner=api:cli"));
  EXPECT_THAT(Candidates({"lease", "release", "api"}, kBackends), ElementsAre("api:cli"));
}

TEST(CompletionTest, NewNamesAreNotOffered) {
  ScriptedDaemon daemon;

  EXPECT_THAT(Candidates({"add", "pool", ""}, std::nullopt, &daemon), IsEmpty());
  EXPECT_THAT(Candidates({"add", "web", ""}, std::nullopt, &daemon), IsEmpty());
  EXPECT_THAT(daemon.read, IsEmpty());
}

TEST(CompletionTest, LeavesFilesToTheShell) {
  EXPECT_THAT(Candidates({"apply", "-f", ""}), ElementsAre(":files"));
  EXPECT_THAT(Candidates({"--cacert", "/et"}), ElementsAre(":files"));
  EXPECT_THAT(Candidates({"lease", "hold", "api:a", "--", "ec"}), ElementsAre(":files"));
}

TEST(CompletionTest, IsSilentWhenTheDaemonIsAway) {
  EXPECT_THAT(Candidates({"top", ""}), IsEmpty());
  EXPECT_THAT(Candidates({"get", "no-such-noun", ""}), IsEmpty());
  EXPECT_THAT(Candidates({"--timeout", "never", "top", ""}, kBackends), IsEmpty());
}

TEST(CompletionTest, HeedsWhereTheLineSaysTheDaemonIs) {
  const auto no_variables = [](const char*) { return std::optional<std::string>(); };

  const auto parsed = ParseArguments(
      {"__complete", "--", "top", "--endpoint", "127.0.0.1:9", "--cacert=ca.pem", ""},
      no_variables);

  ASSERT_TRUE(parsed.ok());
  const GlobalOptions& global = std::get<Arguments>(*parsed).global;
  EXPECT_EQ(global.endpoint, "127.0.0.1:9");
  EXPECT_EQ(global.tls.ca, "ca.pem");
  EXPECT_EQ(global.timeout, absl::Milliseconds(300));
}

TEST(CompletionTest, PrintsAScriptForEachShell) {
  ScriptedDaemon daemon;
  for (const std::string& shell : AllowedWords("SHELL")) {
    const Outcome outcome = RunLine(&daemon, {"completion", shell});
    EXPECT_EQ(outcome.exit_code, ExitCode::kOk);
    EXPECT_THAT(outcome.out, HasSubstr("__complete --"));
  }
  EXPECT_EQ(RunLine(&daemon, {"completion", "cmd"}).exit_code, ExitCode::kUsage);
  EXPECT_EQ(RunLine(&daemon, {"completion"}).exit_code, ExitCode::kUsage);
  EXPECT_THAT(RunLine(&daemon, {"--help"}).out, Not(HasSubstr("__complete")));
}

}  // namespace
}  // namespace sidelb::client
