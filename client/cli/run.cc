#include "client/cli/run.h"

#include <memory>
#include <mutex>
#include <optional>
#include <utility>
#include <variant>

#include "absl/time/clock.h"
#include "client/cli/commands.h"
#include "client/cli/parse_arguments.h"
#include "client/cli/report.h"
#include "client/cli/retry.h"
#include "client/sidelb_client.h"
#include "fmt/format.h"

namespace sidelb::client {
namespace {

// Finds the endpoint and makes the client at the first call, so that what needs no daemon works
// without one. Commands that follow the daemon call from several threads.
class LazyClient {
 public:
  LazyClient(const GlobalOptions& options, const EndpointSources& sources)
      : options_(options), sources_(sources) {}

  absl::Duration timeout() const { return options_.timeout; }

  absl::StatusOr<Client*> Get() {
    const std::lock_guard lock(mutex_);
    if (!client_) {
      const auto endpoint = FindEndpoint(options_.endpoint, sources_);
      if (!endpoint.ok()) return endpoint.status();
      Client::Options options{.timeout = options_.timeout,
                              .user_agent = "sidelb-cli/" SIDELB_VERSION};
      // The variables may be set for another endpoint: a unix socket does not mind them.
      if (options_.tls.is_given() && endpoint->kind == Endpoint::Kind::kTcp) {
        auto tls = ReadTls(options_.tls);
        if (!tls.ok()) return tls.status();
        options.tls = *std::move(tls);
      }
      client_.emplace(*endpoint, options);
    }
    return &*client_;
  }

 private:
  const GlobalOptions& options_;
  const EndpointSources& sources_;
  std::mutex mutex_;
  std::optional<Client> client_;  // guarded by mutex_
};

// What an error of the connection means for a write.
absl::Status AfterWrite(const absl::Status& status) {
  const std::string reason = GetErrorDetails(status).reason;
  if (reason != kReasonTimeout && reason != kReasonConnectionLost) return status;
  return MakeError(status.code(), reason,
                   fmt::format("{}; the change may have been made, see \"sidelb-cli get\"",
                               std::string(status.message())));
}

Calls MakeCalls(LazyClient* lazy, WriteMark* mark) {
  return {
      .apply = [lazy, mark](const pb::ApplyRequest& request) -> absl::StatusOr<pb::ApplyResponse> {
        auto client = lazy->Get();
        if (!client.ok()) return client.status();
        mark->is_writing = !request.validate_only();
        const RetryClock clock{.now = absl::Now, .sleep = absl::SleepFor};
        auto response = ApplyWithRetries(
            request, lazy->timeout(),
            [&client](const pb::ApplyRequest& again) { return (*client)->Apply(again); }, clock);
        mark->is_writing = false;
        if (!response.ok() && !request.validate_only()) return AfterWrite(response.status());
        return response;
      },
      .get_state =
          [lazy](const pb::GetStateRequest& request) -> absl::StatusOr<pb::GetStateResponse> {
        auto client = lazy->Get();
        if (!client.ok()) return client.status();
        return (*client)->GetState(request);
      },
      .get_info = [lazy]() -> absl::StatusOr<pb::GetInfoResponse> {
        auto client = lazy->Get();
        if (!client.ok()) return client.status();
        return (*client)->GetInfo();
      },
      .get_stats =
          [lazy](const pb::GetStatsRequest& request) -> absl::StatusOr<pb::GetStatsResponse> {
        auto client = lazy->Get();
        if (!client.ok()) return client.status();
        return (*client)->GetStats(request);
      },
      .renew_lease =
          [lazy](const pb::RenewLeaseRequest& request) -> absl::StatusOr<pb::RenewLeaseResponse> {
        auto client = lazy->Get();
        if (!client.ok()) return client.status();
        return (*client)->RenewLease(request);
      },
      .list_audit =
          [lazy](const pb::ListAuditRequest& request) -> absl::StatusOr<pb::ListAuditResponse> {
        auto client = lazy->Get();
        if (!client.ok()) return client.status();
        return (*client)->ListAudit(request);
      },
      .watch =
          [lazy](const pb::WatchRequest& request) -> absl::StatusOr<std::unique_ptr<WatchStream>> {
        auto client = lazy->Get();
        if (!client.ok()) return client.status();
        return (*client)->Watch(request);
      },
      .wait_for_revision = [lazy](uint64_t revision, absl::Duration timeout) -> absl::Status {
        auto client = lazy->Get();
        if (!client.ok()) return client.status();
        return (*client)->WaitForRevision(revision, timeout);
      },
      .shutdown =
          [lazy](const pb::ShutdownRequest& request) -> absl::StatusOr<pb::ShutdownResponse> {
        auto client = lazy->Get();
        if (!client.ok()) return client.status();
        return (*client)->Shutdown(request);
      },
      .call = [lazy, mark](const google::protobuf::MethodDescriptor& method,
                           const google::protobuf::Message& request,
                           const ResponseSink& on_response) -> absl::Status {
        auto client = lazy->Get();
        if (!client.ok()) return client.status();
        mark->is_writing = method.name() == "Apply";
        const absl::Status status = (*client)->Call(method, request, on_response);
        const bool was_writing = std::exchange(mark->is_writing, false);
        return was_writing ? AfterWrite(status) : status;
      },
  };
}

}  // namespace

ExitCode Run(const std::vector<std::string>& words, const EndpointSources& sources,
             const Streams& streams, WriteMark* mark) {
  ExitCode exit_code = ExitCode::kOk;
  const auto parsed = ParseArguments(words, sources.get_variable);
  if (!parsed.ok()) {
    exit_code = PrintError(parsed.status(), Output::kTable, streams);
  } else if (const auto* help = std::get_if<HelpText>(&*parsed)) {
    streams.out << help->text;
  } else {
    const auto& arguments = std::get<Arguments>(*parsed);
    LazyClient lazy(arguments.global, sources);
    const Calls calls = MakeCalls(&lazy, mark);
    const Invocation invocation{arguments, calls, streams};
    exit_code =
        std::visit([&invocation](const auto& command) { return RunCommand(invocation, command); },
                   arguments.command);
  }
  streams.out.flush();
  if (!streams.out) {
    PrintError(MakeError(absl::StatusCode::kUnknown, "OUTPUT", "cannot write the output"),
               Output::kTable, streams);
    if (exit_code == ExitCode::kOk) exit_code = ExitCode::kRejected;
  }
  streams.err.flush();
  return exit_code;
}

}  // namespace sidelb::client
