// The verbs over a Watch, from the command line to the socket, against scripted streams.
#include <sstream>

#include "client/cli/run.h"
#include "gmock/gmock.h"
#include "tests/integration/client/watch_daemon.h"

namespace sidelb::client {
namespace {

using testing::EndsWith;
using testing::HasSubstr;
using testing::StartsWith;

constexpr char kSnapshot[] = R"(epoch: "e1" position: 5 revision: 812 snapshot { last: true state {
    pools { name: "web" revision: 812 }
    backends { pool: "web" address: "10.0.0.5:80" revision: 812 claims { owner: "static" }
               status { state: BACKEND_STATE_SERVING health: HEALTH_HEALTHY } } } })";

// An event that changes the backend above to `status`.
std::string Event(int position, const std::string& status) {
  return R"(epoch: "e1" revision: 812 position: )" + std::to_string(position) +
         R"( events { events { kind: EVENT_KIND_PUT backend { pool: "web" address: "10.0.0.5:80"
             revision: 812 claims { owner: "static" } status { )" +
         status + " } } } }";
}

std::vector<std::string> LinesOf(const std::string& text) {
  std::vector<std::string> lines;
  std::istringstream stream(text);
  for (std::string line; std::getline(stream, line);) lines.push_back(line);
  return lines;
}

class CliWatchTest : public testing::Test {
 protected:
  ExitCode RunCli(const std::vector<std::string>& words) {
    const EndpointSources sources = {
        .get_variable = [this](const char* name) -> std::optional<std::string> {
          if (std::string_view(name) != "SIDELB_ENDPOINT") return std::nullopt;
          return daemon_.endpoint().ToString();
        },
        .is_socket = [](const std::string&) { return false; }};
    const Streams streams{in_, out_, err_, Colour::kNever, Colour::kNever, &interrupt_};
    WriteMark mark;
    return client::Run(words, sources, streams, &mark);
  }

  // The end of a script: Ctrl-C, as soon as the command has it all.
  void AddInterruptingStream(std::vector<std::string> messages) {
    daemon_.AddStream([this, messages](const pb::WatchRequest&, WatchDaemon::Writer* writer) {
      for (const std::string& text : messages) writer->Write(Message(text));
      // What the client has taken from the stream before is still printed.
      interrupt_.Raise();
      daemon_.WaitForStop();
      return grpc::Status::OK;
    });
  }

  WatchDaemon daemon_;
  Interrupt interrupt_;
  std::istringstream in_;
  std::ostringstream out_;
  std::ostringstream err_;
};

TEST_F(CliWatchTest, EndsAtAnInterruptWhileNothingHappens) {
  AddInterruptingStream({});

  EXPECT_EQ(RunCli({"watch"}), ExitCode::kInterrupted);
  EXPECT_EQ(err_.str(), "");
}

TEST_F(CliWatchTest, GoesOnWhereTheStreamBroke) {
  daemon_.AddBreakingStream({kSnapshot, Event(6, "state: BACKEND_STATE_DRAINING")});
  daemon_.AddStream([](const pb::WatchRequest&, WatchDaemon::Writer* writer) {
    writer->Write(Message(Event(7, "state: BACKEND_STATE_DISABLED")));
    return grpc::Status(grpc::StatusCode::INVALID_ARGUMENT, "the test ends the stream");
  });

  EXPECT_EQ(RunCli({"watch", "-o", "jsonl"}), ExitCode::kRejected);

  const auto lines = LinesOf(out_.str());
  ASSERT_EQ(lines.size(), 5u) << out_.str();
  EXPECT_THAT(lines[2], EndsWith("\"resumeToken\":\"e1/5\"}"));
  EXPECT_THAT(lines[3], HasSubstr("BACKEND_STATE_DRAINING"));
  EXPECT_THAT(lines[3], EndsWith("\"resumeToken\":\"e1/6\"}"));
  EXPECT_THAT(lines[4], HasSubstr("BACKEND_STATE_DISABLED"));
  EXPECT_THAT(lines[4], EndsWith("\"resumeToken\":\"e1/7\"}"));
  EXPECT_EQ(daemon_.Request(1).resume_epoch(), "e1");
  EXPECT_EQ(daemon_.Request(1).resume_position(), 6u);
  EXPECT_THAT(err_.str(), HasSubstr("warning: the connection to unix:"));
  EXPECT_THAT(err_.str(), HasSubstr("notice: connected again\n"));
}

TEST_F(CliWatchTest, SaysLoudlyThatTheDigestDiffersAndFetchesAnew) {
  daemon_.AddStream({kSnapshot, R"(epoch: "e1" position: 5 revision: 812
                                   heartbeat { config_digest: 1 })"});
  daemon_.AddStream([](const pb::WatchRequest&, WatchDaemon::Writer* writer) {
    writer->Write(Message(R"(epoch: "e1" position: 5 revision: 812 snapshot { last: true })"));
    return grpc::Status(grpc::StatusCode::INVALID_ARGUMENT, "the test ends the stream");
  });

  EXPECT_EQ(RunCli({"watch", "-o", "jsonl"}), ExitCode::kRejected);

  EXPECT_THAT(err_.str(), StartsWith("error: DIVERGED: the view at revision 812 has digest "));
  EXPECT_EQ(daemon_.Request(1).resume_epoch(), "");
  const auto lines = LinesOf(out_.str());
  ASSERT_EQ(lines.size(), 5u) << out_.str();
  // No RESYNC came from the daemon, but the reader must forget all the same.
  EXPECT_THAT(lines[3], HasSubstr("\"resync\":"));
  EXPECT_THAT(lines[3], EndsWith("\"resumeToken\":\"\"}"));
  EXPECT_THAT(lines[4], HasSubstr("\"snapshot\":{\"last\":true}"));
}

TEST_F(CliWatchTest, SaysThatTheDaemonIsGoingAway) {
  daemon_.AddStream([](const pb::WatchRequest&, WatchDaemon::Writer* writer) {
    writer->Write(Message(kSnapshot));
    writer->Write(Message(
        R"(epoch: "e1" position: 5 going_away { grace { seconds: 25 } detail: "SIGTERM" })"));
    return grpc::Status(grpc::StatusCode::INVALID_ARGUMENT, "the test ends the stream");
  });

  RunCli({"watch"});

  EXPECT_THAT(err_.str(), HasSubstr("notice: the daemon is going away within 25s: SIGTERM\n"));
}

TEST_F(CliWatchTest, FailsWithoutADaemon) {
  daemon_.Stop();

  EXPECT_EQ(RunCli({"watch"}), ExitCode::kUnreachable);
  EXPECT_THAT(err_.str(), StartsWith("error: UNREACHABLE: "));
}

TEST_F(CliWatchTest, WaitsUntilBackendsAreHealthy) {
  daemon_.AddBreakingStream({R"(epoch: "e1" position: 5 revision: 812 snapshot { last: true state {
      pools { name: "web" }
      backends { pool: "web" address: "10.0.0.5:80" status { state: BACKEND_STATE_WARMING } } } })"});
  daemon_.AddStream({Event(6, "state: BACKEND_STATE_SERVING health: HEALTH_UNKNOWN"),
                     Event(7, "state: BACKEND_STATE_SERVING health: HEALTH_HEALTHY")});

  EXPECT_EQ(RunCli({"wait", "web", "10.0.0.5:80", "--for", "healthy"}), ExitCode::kOk);

  EXPECT_EQ(out_.str(), "backend/web/10.0.0.5:80 healthy\n");
  EXPECT_EQ(daemon_.Request(0).filter().pools(0), "web");
  EXPECT_EQ(daemon_.Request(0).filter().backends().addresses(0), "10.0.0.5:80");
  EXPECT_EQ(daemon_.Request(1).resume_position(), 5u);
}

TEST_F(CliWatchTest, GivesUpWaitingInTimeAndSaysWhatIsMissing) {
  daemon_.AddStream({R"(epoch: "e1" position: 5 revision: 812 snapshot { last: true state {
      pools { name: "web" }
      backends { pool: "web" address: "10.0.0.5:80" status { state: BACKEND_STATE_UNHEALTHY
                 health: HEALTH_UNHEALTHY reason: HEALTH_REASON_REFUSED } } } })"});

  EXPECT_EQ(RunCli({"wait", "web", "--for", "healthy", "--timeout", "50ms"}),
            ExitCode::kWaitNotReached);
  EXPECT_EQ(err_.str(),
            "error: WAIT_NOT_REACHED: within 50ms: 10.0.0.5:80 is unhealthy (refused)\n");
}

TEST_F(CliWatchTest, IsInterruptedWhileItWaits) {
  AddInterruptingStream({});

  EXPECT_EQ(RunCli({"wait", "web", "--for", "healthy"}), ExitCode::kInterrupted);
}

TEST_F(CliWatchTest, WaitsForTheRevisionAndForTheShards) {
  int looks = 0;
  daemon_.on_get_info = [&](pb::GetInfoResponse* info) {
    ++looks;
    info->set_revision(looks == 1 ? 812 : 813);
    info->set_applied_revision(looks < 3 ? 812 : 813);
    return grpc::Status::OK;
  };
  uint64_t waited_for = 0;
  daemon_.on_get_state = [&](const pb::GetStateRequest& request, pb::GetStateResponse* response) {
    waited_for = request.min_revision();
    response->set_revision(813);
    return grpc::Status::OK;
  };

  EXPECT_EQ(RunCli({"wait", "--for", "applied", "--revision", "813"}), ExitCode::kOk);

  EXPECT_EQ(out_.str(), "revision 813 applied\n");
  EXPECT_EQ(waited_for, 813u);
  EXPECT_EQ(looks, 3);
}

TEST_F(CliWatchTest, TellsARevisionThatDoesNotCome) {
  daemon_.on_get_info = [](pb::GetInfoResponse* info) {
    info->set_revision(812);
    return grpc::Status::OK;
  };
  daemon_.on_get_state = [](const pb::GetStateRequest&, pb::GetStateResponse*) {
    return grpc::Status(grpc::StatusCode::OUT_OF_RANGE, "revision 900 is in the future");
  };

  EXPECT_EQ(RunCli({"wait", "--for", "applied", "--revision", "900"}), ExitCode::kWaitNotReached);
  EXPECT_THAT(err_.str(), HasSubstr("the daemon is at revision 812, not at 900"));
}

class TopTest : public CliWatchTest {
 protected:
  TopTest() {
    daemon_.on_get_info = [](pb::GetInfoResponse* info) {
      info->set_epoch("e1");
      info->set_revision(812);
      info->set_applied_revision(812);
      info->set_state(pb::SERVER_STATE_SERVING);
      return grpc::Status::OK;
    };
    daemon_.on_get_stats = [this](const pb::GetStatsRequest&, pb::GetStatsResponse* stats) {
      ++samples_;
      stats->mutable_time()->set_seconds(samples_);
      pb::StatRow* row = stats->add_rows();
      row->set_kind(pb::OBJECT_KIND_BACKEND);
      row->set_name("web");
      row->set_address("10.0.0.5:80");
      row->set_total(100 * samples_);
      return grpc::Status::OK;
    };
  }

  int samples_ = 0;
};

TEST_F(TopTest, PrintsFramesWhereThereIsNoTerminal) {
  daemon_.AddStream(std::vector<std::string>{kSnapshot});

  EXPECT_EQ(RunCli({"top", "web", "-n", "2", "--interval", "100ms"}), ExitCode::kOk);

  const auto lines = LinesOf(out_.str());
  ASSERT_EQ(lines.size(), 11u) << out_.str();
  EXPECT_EQ(lines[0], "sidelb, pool web  revision 812 applied");
  EXPECT_THAT(lines[4], HasSubstr("10.0.0.5:80  serving         0     100"));
  EXPECT_EQ(lines[5], "");
  EXPECT_EQ(samples_, 3);
}

TEST_F(TopTest, EndsAtAnInterrupt) {
  AddInterruptingStream({kSnapshot});

  EXPECT_EQ(RunCli({"top", "--interval", "1h"}), ExitCode::kInterrupted);
}

TEST_F(TopTest, FailsWhereStatsAreNotThere) {
  daemon_.on_get_stats = [](const pb::GetStatsRequest&, pb::GetStatsResponse*) {
    return grpc::Status(grpc::StatusCode::UNIMPLEMENTED, "GetStats is not there yet");
  };

  EXPECT_EQ(RunCli({"top"}), ExitCode::kRejected);
  EXPECT_THAT(err_.str(), HasSubstr("GetStats is not there yet"));
}

}  // namespace
}  // namespace sidelb::client
