// Client: a connection to the control service of one daemon, for any C++ program.
//
//   auto endpoint = sidelb::client::FindEndpoint("", sidelb::client::SystemEndpointSources());
//   sidelb::client::Client client(*endpoint, {});
//   sidelb::v1::ApplyRequest request;
//   auto* set = request.add_ops()->mutable_upsert_backends();
//   set->set_pool("web");
//   set->add_backends()->set_address("10.0.0.5:80");
//   absl::StatusOr<sidelb::v1::ApplyResponse> response = client.Apply(request);
//   if (!response.ok()) Report(sidelb::client::GetErrorDetails(response.status()).reason);
//
// Errors: the daemon's code and message, with its google.rpc details (error_details.h). What the
// client finds itself is
//   UNAVAILABLE        UNREACHABLE      nobody answers at the endpoint; nothing was sent
//   PERMISSION_DENIED  UNREACHABLE      the socket is closed to this user; nothing was sent
//   UNAVAILABLE        CONNECTION_LOST  it broke while the answer was awaited
//   DEADLINE_EXCEEDED  TIMEOUT          no answer in time
// After CONNECTION_LOST and TIMEOUT a write may have been made. The client never repeats a write.
//
// Thread safety: all calls may be made by any thread at the same time; each but Watch() blocks its
// caller.
// Ownership: the client owns its connection, opens it at the first call and reopens it when it
// broke. Calls must have returned before it is destroyed.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "client/endpoint.h"
#include "client/error_details.h"
#include "client/tls.h"
#include "client/watch_stream.h"
#include "sidelb/v1/control.pb.h"

namespace sidelb::client {

namespace pb = sidelb::v1;

// Takes one response of a call.
using ResponseSink = std::function<bool(const google::protobuf::Message&)>;

class Client {
 public:
  struct Options {
    // How long the daemon may take to answer. What an Apply waits for comes on top of it.
    absl::Duration timeout = absl::Seconds(5);
    std::string user_agent = "sidelb-client";
    std::optional<Tls> tls;  // of a HOST:PORT; a unix socket needs none
  };

  // Does no I/O.
  Client(const Endpoint& endpoint, const Options& options);
  ~Client();
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  // One atomic batch. Running out of `wait_timeout` is no error: see `reached` and `pending`.
  absl::StatusOr<pb::ApplyResponse> Apply(const pb::ApplyRequest& request);

  // Everything that the request selects, at one revision: fetches all pages and returns them as
  // one. `page_token` and `next_page_token` are of no use here. All pages share one timeout.
  absl::StatusOr<pb::GetStateResponse> GetState(const pb::GetStateRequest& request);

  absl::StatusOr<pb::GetInfoResponse> GetInfo();
  absl::StatusOr<pb::GetStatsResponse> GetStats(const pb::GetStatsRequest& request);
  absl::StatusOr<pb::ListAuditResponse> ListAudit(const pb::ListAuditRequest& request);

  // An owner's promise to go on: creates, renews, takes over or releases its lease.
  absl::StatusOr<pb::RenewLeaseResponse> RenewLease(const pb::RenewLeaseRequest& request);

  // Makes the daemon drain and end. It answers before it does.
  absl::StatusOr<pb::ShutdownResponse> Shutdown(const pb::ShutdownRequest& request);

  // Waits until reads show `revision` or a later one. DEADLINE_EXCEEDED (TIMEOUT) when that did not
  // come within `timeout`; the client's own timeout does not matter here.
  absl::Status WaitForRevision(uint64_t revision, absl::Duration timeout);

  // Any method of the service, by its description. A stream has no timeout: it lasts until the
  // daemon ends it or `on_response` returns false.
  absl::Status Call(const google::protobuf::MethodDescriptor& method,
                    const google::protobuf::Message& request, const ResponseSink& on_response);

  // Opens a stream and does not wait for it. Most callers want a Follower (follower.h) around it.
  // The client must outlive the stream.
  std::unique_ptr<WatchStream> Watch(const pb::WatchRequest& request);

 private:
  struct Connection;  // hides gRPC

  const Endpoint endpoint_;
  const Options options_;
  const std::unique_ptr<Connection> connection_;
};

// How long the daemon holds back the answer to `request` at most: its wait_timeout; where it names
// none, 5 s, or for DRAINED 1 h, because the daemon then goes by drains that the client does not
// know; nothing when it waits for nothing.
absl::Duration WaitTime(const pb::ApplyRequest& request);

}  // namespace sidelb::client
