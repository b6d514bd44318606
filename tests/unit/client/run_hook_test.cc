// What `watch --exec` runs.
#include "client/cli/run_hook.h"

#include <cstdlib>

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

TEST(HookVariablesTest, TellOfEachKindOfObject) {
  const auto variables = [](const std::string& text) {
    return HookVariables(Parsed<pb::Event>(text), "e/7");
  };

  EXPECT_THAT(variables(R"pb(
                kind: EVENT_KIND_PUT
                backend {
                  pool: "web"
                  address: "10.0.0.5:80"
                  status { state: BACKEND_STATE_DRAINING }
                })pb"),
              ElementsAre("SIDELB_EVENT_KIND=put", "SIDELB_EVENT_OBJECT=backend",
                          "SIDELB_EVENT_NAME=web/10.0.0.5:80", "SIDELB_EVENT_POOL=web",
                          "SIDELB_EVENT_STATE=draining", "SIDELB_RESUME_TOKEN=e/7"));
  EXPECT_THAT(variables(R"pb(kind: EVENT_KIND_REMOVED
                             listener { name: "http" })pb"),
              ElementsAre("SIDELB_EVENT_KIND=removed", "SIDELB_EVENT_OBJECT=listener",
                          "SIDELB_EVENT_NAME=http",
                          "SIDELB_EVENT_POOL=", "SIDELB_EVENT_STATE=", "SIDELB_RESUME_TOKEN=e/7"));
  EXPECT_THAT(variables(R"pb(pool { name: "web" })pb"), Contains("SIDELB_EVENT_POOL=web"));
  EXPECT_THAT(variables(R"pb(lease { owner: "api:a" })pb"), Contains("SIDELB_EVENT_NAME=api:a"));
}

TEST(EnvironmentWithTest, OwnVariablesStandOverInheritedOnes) {
  setenv("SIDELB_EVENT_KIND", "inherited", 1);

  const std::vector<std::string> variables = EnvironmentWith({"SIDELB_EVENT_KIND=put"});
  unsetenv("SIDELB_EVENT_KIND");

  EXPECT_THAT(variables, Contains("SIDELB_EVENT_KIND=put"));
  EXPECT_THAT(variables, Not(Contains("SIDELB_EVENT_KIND=inherited")));
  EXPECT_THAT(variables, Contains(HasSubstr("PATH=")));
}

TEST(RunHookTest, GivesTheInputAndTheVariables) {
  const std::string large(1 << 20, 'x');

  EXPECT_EQ(RunHook("test \"$(cat)\" = '{}' && test \"$A\" = b", "{}\n", {"A=b"}), "");
  EXPECT_EQ(RunHook("test $(wc -c) = 1048576", large, {}), "");
  EXPECT_EQ(RunHook("true", large, {}), "");
}

TEST(RunHookTest, SaysHowACommandFailed) {
  EXPECT_EQ(RunHook("exit 3", "", {}), "it exited with 3");
  EXPECT_EQ(RunHook("kill -KILL $$", "", {}), "signal 9 ended it");
  EXPECT_EQ(RunHook("kill -INT $$", "", {}), "");
}

TEST(WatchExecTest, RunsTheCommandForEachChangeAndGoesOnWhenItFails) {
  ScriptedDaemon daemon;
  daemon.watch_messages = {Parsed<pb::WatchResponse>(R"pb(epoch: "e"
                                                          position: 1
                                                          snapshot {
                                                            last: true
                                                            state { pools { name: "old" } }
                                                          })pb"),
                           Parsed<pb::WatchResponse>(R"pb(epoch: "e"
                                                          position: 2
                                                          events {
                                                            events {
                                                              kind: EVENT_KIND_PUT
                                                              pool { name: "a" }
                                                            }
                                                            events {
                                                              kind: EVENT_KIND_PUT
                                                              pool { name: "b" }
                                                            }
                                                          })pb")};

  const Outcome outcome = RunLine(
      &daemon,
      {"watch", "--exec", "grep -q resumeToken...e/2 && test $SIDELB_EVENT_NAME = b || exit 9"});

  EXPECT_EQ(outcome.out, "");
  EXPECT_THAT(outcome.err, HasSubstr("warning: --exec failed for a: it exited with 9\n"));
  EXPECT_THAT(outcome.err, Not(HasSubstr("failed for b")));
  EXPECT_THAT(outcome.err, Not(HasSubstr("failed for old")));
}

TEST(WatchExecTest, RefusesWhatDoesNotGoWithIt) {
  ScriptedDaemon daemon;

  EXPECT_EQ(RunLine(&daemon, {"watch", "--exec="}).exit_code, ExitCode::kUsage);
  EXPECT_EQ(RunLine(&daemon, {"watch", "--exec", "true", "--heartbeats"}).exit_code,
            ExitCode::kUsage);
  EXPECT_THAT(daemon.watched, IsEmpty());
}

}  // namespace
}  // namespace sidelb::client
