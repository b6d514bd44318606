// What a command works with: what was asked, the daemon, the terminal.
//
// Thread safety: values used by one thread; what they refer to must outlive them.
#pragma once

#include <functional>
#include <istream>
#include <memory>
#include <optional>
#include <ostream>

#include "absl/status/statusor.h"
#include "client/cli/arguments.h"
#include "client/cli/interrupt.h"
#include "client/cli/table.h"
#include "client/sidelb_client.h"
#include "client/watch_stream.h"
#include "sidelb/v1/control.pb.h"

namespace sidelb::client {

// The calls to the daemon, as Client has them.
struct Calls {
  std::function<absl::StatusOr<pb::ApplyResponse>(const pb::ApplyRequest&)> apply;
  std::function<absl::StatusOr<pb::GetStateResponse>(const pb::GetStateRequest&)> get_state;
  std::function<absl::StatusOr<pb::GetInfoResponse>()> get_info;
  std::function<absl::StatusOr<pb::GetStatsResponse>(const pb::GetStatsRequest&)> get_stats;
  std::function<absl::StatusOr<pb::RenewLeaseResponse>(const pb::RenewLeaseRequest&)> renew_lease;
  std::function<absl::StatusOr<pb::ListAuditResponse>(const pb::ListAuditRequest&)> list_audit;
  std::function<absl::StatusOr<std::unique_ptr<WatchStream>>(const pb::WatchRequest&)> watch;
  std::function<absl::Status(uint64_t revision, absl::Duration timeout)> wait_for_revision;
  std::function<absl::StatusOr<pb::ShutdownResponse>(const pb::ShutdownRequest&)> shutdown;
  std::function<absl::Status(const google::protobuf::MethodDescriptor& method,
                             const google::protobuf::Message& request,
                             const ResponseSink& on_response)>
      call;
};

// The descriptors of a terminal that shows what is written and gives what is typed.
struct TerminalDescriptors {
  int in = 0;
  int out = 1;
};

struct Streams {
  std::istream& in;
  std::ostream& out;
  std::ostream& err;
  Colour out_colour = Colour::kNever;
  Colour err_colour = Colour::kNever;
  Interrupt* interrupt = nullptr;  // nullptr = there is none to wait for
  std::optional<TerminalDescriptors> terminal;
};

struct Invocation {
  const Arguments& arguments;
  const Calls& calls;
  const Streams& streams;

  bool is_json() const {
    return arguments.global.output == Output::kJson ||
           arguments.global.output == Output::kJsonLines;
  }
};

}  // namespace sidelb::client
