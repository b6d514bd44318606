#include "client/sidelb_client.h"

#include <grpcpp/grpcpp.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <utility>

#include "absl/strings/match.h"
#include "client/generic_call.h"
#include "client/grpc_watch_stream.h"
#include "fmt/format.h"
#include "sidelb/v1/control.grpc.pb.h"

namespace sidelb::client {
namespace {

// A page holds up to 2000 objects; with many tags that can exceed gRPC's default of 4 MiB.
constexpr int kMaxReceiveBytes = 64 << 20;
constexpr absl::Duration kDefaultWait = absl::Seconds(5);
constexpr absl::Duration kLongestDrain = absl::Hours(1);
// Longer than any wait that makes sense, and short enough for every clock's arithmetic.
constexpr absl::Duration kMaxTimeout = absl::Hours(24 * 365);

bool UsesTls(const Endpoint& endpoint, const Client::Options& options) {
  return options.tls && endpoint.kind == Endpoint::Kind::kTcp;
}

std::shared_ptr<grpc::ChannelCredentials> MakeCredentials(const Endpoint& endpoint,
                                                          const Client::Options& options) {
  if (!UsesTls(endpoint, options)) return grpc::InsecureChannelCredentials();
  return grpc::SslCredentials({.pem_root_certs = options.tls->ca,
                               .pem_private_key = options.tls->key,
                               .pem_cert_chain = options.tls->certificate});
}

grpc::ChannelArguments MakeArguments(const Endpoint& endpoint, const Client::Options& options) {
  grpc::ChannelArguments arguments;
  arguments.SetUserAgentPrefix(options.user_agent);
  if (UsesTls(endpoint, options) && !options.tls->server_name.empty()) {
    arguments.SetSslTargetNameOverride(options.tls->server_name);
  }
  arguments.SetMaxReceiveMessageSize(kMaxReceiveBytes);
  // The endpoint is meant as it is written, whatever proxy the environment names for the web.
  arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  // A daemon that was restarted is back soon, and mostly on this machine.
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 100);
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 2'000);
  // Nothing is repeated behind the caller's back.
  arguments.SetInt(GRPC_ARG_ENABLE_RETRIES, 0);
  return arguments;
}

std::string Target(const Endpoint& endpoint) {
  // With its scheme, so that a host name is not taken for one.
  return (endpoint.kind == Endpoint::Kind::kUnix ? "unix:" : "dns:///") + endpoint.address;
}

void SetDeadline(grpc::ClientContext* context, absl::Duration timeout) {
  context->set_deadline(std::chrono::system_clock::now() +
                        absl::ToChronoMilliseconds(std::min(timeout, kMaxTimeout)));
}

// gRPC's words for "never connected", cut down to the part that a person can use: "failed to
// connect to all addresses; last error: UNKNOWN: unix:/run/x.sock: Connection refused" to the last
// two words.
std::string ReasonOfFailedConnect(const std::string& message, const Endpoint& endpoint) {
  for (const std::string& lead :
       {std::string("Failed to connect to remote host: "), std::string("is_balancer=0: "),
        endpoint.ToString() + ": ", std::string("last error: ")}) {
    const size_t at = message.rfind(lead);
    if (at != std::string::npos) return message.substr(at + lead.size());
  }
  return message;
}

// What to look at, by gRPC's words. Of a handshake that the daemon refuses it only tells that the
// connection was closed.
std::string_view AdviceOn(const Endpoint& endpoint, const std::string& why) {
  constexpr std::pair<std::string_view, std::string_view> kOfTcp[] = {
      {"Socket closed",
       "; it ended the connection: does it want TLS and a certificate of its client CA "
       "(--cacert, --cert, --key)?"},
      {"empty address list", "; do --cert and --key belong together?"},
      {"wrong version number", "; it speaks no TLS, so that --cacert has no place here"},
      {"certificate verify failed", "; is --cacert the CA that signed the daemon's certificate?"},
      {"not in peer certificate", "; --server-name says what the daemon's certificate is for"},
  };
  if (endpoint.kind == Endpoint::Kind::kTcp) {
    for (const auto& [words, advice] : kOfTcp) {
      if (why.find(words) != std::string::npos) return advice;
    }
  }
  return "; is sidelb running?";
}

absl::Status Unreachable(absl::StatusCode code, const Endpoint& endpoint, const std::string& why) {
  return MakeError(
      code, kReasonUnreachable,
      fmt::format("cannot reach the daemon at {}: {}{}", endpoint.ToString(), why,
                  code == absl::StatusCode::kUnavailable ? AdviceOn(endpoint, why) : ""));
}

absl::Status ConnectionLost(const Endpoint& endpoint, const std::string& message) {
  return MakeError(absl::StatusCode::kUnavailable, kReasonConnectionLost,
                   fmt::format("the connection to {} was lost: {}", endpoint.ToString(), message));
}

// An UNAVAILABLE that the daemon did not send. Only gRPC's words tell whether it ever connected.
absl::Status ConnectionError(const Endpoint& endpoint, const std::string& message) {
  if (!absl::StartsWith(message, "failed to connect") &&
      !absl::StrContains(message, "DNS resolution failed") &&
      !absl::StrContains(message, "empty address list")) {
    return ConnectionLost(endpoint, message);
  }
  const std::string why = ReasonOfFailedConnect(message, endpoint);
  const bool is_forbidden = absl::EndsWith(why, std::strerror(EACCES));
  return Unreachable(
      is_forbidden ? absl::StatusCode::kPermissionDenied : absl::StatusCode::kUnavailable, endpoint,
      why);
}

absl::Status ToStatus(const grpc::Status& from, const Endpoint& endpoint, absl::Duration timeout) {
  if (from.ok()) return absl::OkStatus();
  absl::Status status = WithSerializedDetails(
      absl::Status(static_cast<absl::StatusCode>(from.error_code()), from.error_message()),
      from.error_details());
  if (!GetErrorDetails(status).reason.empty()) return status;
  // The client cancels nothing: the daemon ended while it had the call.
  if (absl::IsCancelled(status)) return ConnectionLost(endpoint, from.error_message());
  if (absl::IsUnavailable(status)) return ConnectionError(endpoint, from.error_message());
  if (absl::IsDeadlineExceeded(status)) {
    return MakeError(absl::StatusCode::kDeadlineExceeded, kReasonTimeout,
                     fmt::format("no answer from {} within {}", endpoint.ToString(),
                                 absl::FormatDuration(timeout)));
  }
  return status;
}

}  // namespace

struct Client::Connection {
  std::shared_ptr<grpc::Channel> channel;
  std::unique_ptr<pb::ControlService::Stub> stub;
};

Client::Client(const Endpoint& endpoint, const Options& options)
    : endpoint_(endpoint), options_(options), connection_(std::make_unique<Connection>()) {
  connection_->channel = grpc::CreateCustomChannel(
      Target(endpoint), MakeCredentials(endpoint, options), MakeArguments(endpoint, options));
  connection_->stub = pb::ControlService::NewStub(connection_->channel);
}

Client::~Client() = default;

absl::StatusOr<pb::ApplyResponse> Client::Apply(const pb::ApplyRequest& request) {
  const absl::Duration timeout = options_.timeout + WaitTime(request);
  grpc::ClientContext context;
  SetDeadline(&context, timeout);
  pb::ApplyResponse response;
  const grpc::Status status = connection_->stub->Apply(&context, request, &response);
  if (!status.ok()) return ToStatus(status, endpoint_, timeout);
  return response;
}

absl::StatusOr<pb::GetStateResponse> Client::GetState(const pb::GetStateRequest& request) {
  const absl::Time deadline = absl::Now() + options_.timeout;
  pb::GetStateRequest page_request = request;
  page_request.clear_page_token();
  pb::GetStateResponse all;
  while (true) {
    grpc::ClientContext context;
    SetDeadline(&context, deadline - absl::Now());
    pb::GetStateResponse page;
    const grpc::Status status = connection_->stub->GetState(&context, page_request, &page);
    if (!status.ok()) return ToStatus(status, endpoint_, options_.timeout);
    page_request.set_page_token(page.next_page_token());
    // Appends the page's objects and takes over the rest, which is the same on every page.
    all.MergeFrom(page);
    if (page.next_page_token().empty()) break;
  }
  all.clear_next_page_token();
  return all;
}

absl::StatusOr<pb::GetInfoResponse> Client::GetInfo() {
  grpc::ClientContext context;
  SetDeadline(&context, options_.timeout);
  pb::GetInfoResponse response;
  const grpc::Status status = connection_->stub->GetInfo(&context, pb::GetInfoRequest(), &response);
  if (!status.ok()) return ToStatus(status, endpoint_, options_.timeout);
  return response;
}

absl::StatusOr<pb::GetStatsResponse> Client::GetStats(const pb::GetStatsRequest& request) {
  grpc::ClientContext context;
  SetDeadline(&context, options_.timeout);
  pb::GetStatsResponse response;
  const grpc::Status status = connection_->stub->GetStats(&context, request, &response);
  if (!status.ok()) return ToStatus(status, endpoint_, options_.timeout);
  return response;
}

absl::StatusOr<pb::RenewLeaseResponse> Client::RenewLease(const pb::RenewLeaseRequest& request) {
  grpc::ClientContext context;
  SetDeadline(&context, options_.timeout);
  pb::RenewLeaseResponse response;
  const grpc::Status status = connection_->stub->RenewLease(&context, request, &response);
  if (!status.ok()) return ToStatus(status, endpoint_, options_.timeout);
  return response;
}

absl::StatusOr<pb::ListAuditResponse> Client::ListAudit(const pb::ListAuditRequest& request) {
  grpc::ClientContext context;
  SetDeadline(&context, options_.timeout);
  pb::ListAuditResponse response;
  const grpc::Status status = connection_->stub->ListAudit(&context, request, &response);
  if (!status.ok()) return ToStatus(status, endpoint_, options_.timeout);
  return response;
}

absl::StatusOr<pb::ShutdownResponse> Client::Shutdown(const pb::ShutdownRequest& request) {
  grpc::ClientContext context;
  SetDeadline(&context, options_.timeout);
  pb::ShutdownResponse response;
  const grpc::Status status = connection_->stub->Shutdown(&context, request, &response);
  if (!status.ok()) return ToStatus(status, endpoint_, options_.timeout);
  return response;
}

absl::Status Client::WaitForRevision(uint64_t revision, absl::Duration timeout) {
  // The revision is all that matters: as little else as can be asked for.
  pb::GetStateRequest request;
  request.mutable_filter()->add_kinds(pb::OBJECT_KIND_LISTENER);
  request.set_view(pb::VIEW_CONFIG);
  request.set_page_size(1);
  request.set_min_revision(revision);
  grpc::ClientContext context;
  SetDeadline(&context, timeout);
  pb::GetStateResponse response;
  const grpc::Status status = connection_->stub->GetState(&context, request, &response);
  // The daemon may notice the deadline before the client does.
  if (status.error_code() == grpc::StatusCode::OUT_OF_RANGE) {
    return MakeError(absl::StatusCode::kDeadlineExceeded, kReasonTimeout, status.error_message());
  }
  return ToStatus(status, endpoint_, timeout);
}

absl::Status Client::Call(const google::protobuf::MethodDescriptor& method,
                          const google::protobuf::Message& request,
                          const ResponseSink& on_response) {
  absl::Duration timeout = method.server_streaming() ? kMaxTimeout : options_.timeout;
  if (const auto* write = dynamic_cast<const pb::ApplyRequest*>(&request)) {
    timeout += WaitTime(*write);
  }
  grpc::ClientContext context;
  SetDeadline(&context, timeout);
  return ToStatus(CallMethod(connection_->channel, method, request, on_response, &context),
                  endpoint_, timeout);
}

std::unique_ptr<WatchStream> Client::Watch(const pb::WatchRequest& request) {
  return std::make_unique<GrpcWatchStream>(
      connection_->stub.get(), request, [endpoint = endpoint_](const grpc::Status& status) {
        return ToStatus(status, endpoint, absl::InfiniteDuration());
      });
}

absl::Duration WaitTime(const pb::ApplyRequest& request) {
  if (request.validate_only() || request.wait() == pb::WAIT_FOR_COMMITTED) {
    return absl::ZeroDuration();
  }
  if (!request.has_wait_timeout()) {
    return request.wait() == pb::WAIT_FOR_DRAINED ? kLongestDrain : kDefaultWait;
  }
  const absl::Duration wait = absl::Seconds(request.wait_timeout().seconds()) +
                              absl::Nanoseconds(request.wait_timeout().nanos());
  return std::max(wait, absl::ZeroDuration());
}

}  // namespace sidelb::client
