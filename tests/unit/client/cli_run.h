// Runs a command line against a daemon that the test scripts, without a process or a socket.
#pragma once

#include <deque>
#include <memory>
#include <optional>
#include <sstream>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "client/cli/commands.h"
#include "client/cli/parse_arguments.h"
#include "client/cli/report.h"
#include "client/error_details.h"
#include "google/protobuf/text_format.h"
#include "gtest/gtest.h"
#include "sidelb/v1/control.pb.h"

namespace sidelb::client {

// Answers in the order in which answers were put in, and keeps the requests.
struct ScriptedDaemon {
  std::deque<absl::StatusOr<pb::ApplyResponse>> apply_answers;
  std::deque<absl::StatusOr<pb::GetStateResponse>> state_answers;
  std::deque<absl::StatusOr<pb::GetStatsResponse>> stats_answers;
  // Of one stream, which then ends with `watch_end`; every further one is refused.
  std::deque<pb::WatchResponse> watch_messages;
  absl::Status watch_end = absl::UnimplementedError("the test ends the stream");
  std::vector<pb::WatchRequest> watched;
  std::vector<std::string> raw_responses;                // serialized, all of one call
  std::vector<std::pair<std::string, std::string>> raw;  // method, serialized request
  std::vector<pb::ApplyRequest> applied;
  std::vector<pb::GetStateRequest> read;

  Calls MakeCalls() {
    return {.apply =
                [this](const pb::ApplyRequest& request) {
                  applied.push_back(request);
                  return Next(&apply_answers);
                },
            .get_state =
                [this](const pb::GetStateRequest& request) {
                  read.push_back(request);
                  return Next(&state_answers);
                },
            .get_info = []() -> absl::StatusOr<pb::GetInfoResponse> {
              pb::GetInfoResponse info;
              info.set_version("1.2.3");
              info.set_state(pb::SERVER_STATE_SERVING);
              info.set_revision(812);
              info.add_capabilities("rpc:Apply");
              info.add_capabilities("op:set_mode");
              info.add_capabilities("rpc:GetInfo");
              return info;
            },
            .get_stats = [this](const pb::GetStatsRequest&) { return Next(&stats_answers); },
            .watch = [this](const pb::WatchRequest& request)
                -> absl::StatusOr<std::unique_ptr<WatchStream>> {
              watched.push_back(request);
              return std::make_unique<Stream>(this);
            },
            .wait_for_revision =
                [](uint64_t, absl::Duration) {
                  return absl::DeadlineExceededError("no such revision");
                },
            .call =
                [this](const google::protobuf::MethodDescriptor& method,
                       const google::protobuf::Message& request, const ResponseSink& on_response) {
                  raw.emplace_back(method.name(), request.SerializeAsString());
                  for (const std::string& serialized : raw_responses) {
                    const std::unique_ptr<google::protobuf::Message> response(
                        google::protobuf::MessageFactory::generated_factory()
                            ->GetPrototype(method.output_type())
                            ->New());
                    EXPECT_TRUE(response->ParseFromString(serialized));
                    if (!on_response(*response)) return absl::CancelledError("by the sink");
                  }
                  return absl::OkStatus();
                }};
  }

 private:
  class Stream : public WatchStream {
   public:
    explicit Stream(ScriptedDaemon* daemon) : daemon_(*daemon) {}
    absl::StatusOr<std::optional<pb::WatchResponse>> Next(absl::Time) override {
      if (daemon_.watch_messages.empty()) {
        if (daemon_.watch_end.ok()) return std::optional<pb::WatchResponse>();
        return daemon_.watch_end;
      }
      std::optional<pb::WatchResponse> message(std::move(daemon_.watch_messages.front()));
      daemon_.watch_messages.pop_front();
      return message;
    }
    void Cancel() override {}

   private:
    ScriptedDaemon& daemon_;
  };

  template <typename Answer>
  static Answer Next(std::deque<Answer>* answers) {
    if (answers->empty()) return absl::InternalError("the test scripted no further answer");
    Answer answer = std::move(answers->front());
    answers->pop_front();
    return answer;
  }
};

struct Outcome {
  ExitCode exit_code = ExitCode::kOk;
  std::string out;
  std::string err;
};

inline Outcome RunLine(ScriptedDaemon* daemon, const std::vector<std::string>& words,
                       const std::string& standard_input = "") {
  std::istringstream in(standard_input);
  std::ostringstream out;
  std::ostringstream err;
  const Streams streams{in, out, err};
  const auto no_variables = [](const char*) { return std::optional<std::string>(); };
  const auto parsed = ParseArguments(words, no_variables);
  if (!parsed.ok()) {
    const ExitCode exit_code = PrintError(parsed.status(), Output::kTable, streams);
    return {exit_code, out.str(), err.str()};
  }
  const auto* arguments = std::get_if<Arguments>(&*parsed);
  if (arguments == nullptr) return {ExitCode::kOk, std::get<HelpText>(*parsed).text, ""};
  const Calls calls = daemon->MakeCalls();
  const Invocation invocation{*arguments, calls, streams};
  const ExitCode exit_code = std::visit(
      [&](const auto& command) { return RunCommand(invocation, command); }, arguments->command);
  return {exit_code, out.str(), err.str()};
}

inline std::vector<std::string> LinesOf(const std::string& text) {
  std::vector<std::string> lines;
  std::istringstream stream(text);
  for (std::string line; std::getline(stream, line);) lines.push_back(line);
  return lines;
}

template <typename Message>
Message Parsed(const std::string& text) {
  Message message;
  EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(text, &message)) << text;
  return message;
}

inline pb::OpResult Added(uint32_t count) {
  pb::OpResult result;
  result.set_added(count);
  return result;
}
inline pb::OpResult Updated(uint32_t count) {
  pb::OpResult result;
  result.set_updated(count);
  return result;
}
inline pb::OpResult Removed(uint32_t count) {
  pb::OpResult result;
  result.set_removed(count);
  return result;
}
inline pb::OpResult Unchanged(uint32_t count) {
  pb::OpResult result;
  result.set_unchanged(count);
  return result;
}

inline pb::ApplyResponse Accepted(const std::vector<pb::OpResult>& results,
                                  pb::WaitFor reached = pb::WAIT_FOR_APPLIED) {
  pb::ApplyResponse response;
  response.set_revision(812);
  response.set_reached(reached);
  for (const pb::OpResult& result : results) *response.add_results() = result;
  return response;
}

inline pb::Backend MakeBackend(const std::string& pool, const std::string& address,
                               const std::vector<std::string>& owners) {
  pb::Backend backend;
  backend.set_pool(pool);
  backend.set_address(address);
  for (const std::string& owner : owners) {
    pb::Claim* claim = backend.add_claims();
    claim->set_owner(owner);
    claim->mutable_spec()->set_address(address);
  }
  return backend;
}

inline pb::GetStateResponse AtRevision(uint64_t revision, const pb::State& state) {
  pb::GetStateResponse response;
  response.set_revision(revision);
  *response.mutable_state() = state;
  return response;
}

}  // namespace sidelb::client
