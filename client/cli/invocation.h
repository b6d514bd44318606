// What a command works with: what was asked, the daemon, the terminal.
//
// Thread safety: values used by one thread; what they refer to must outlive them.
#pragma once

#include <functional>
#include <istream>
#include <ostream>

#include "absl/status/statusor.h"
#include "client/cli/arguments.h"
#include "client/cli/table.h"
#include "sidelb/v1/control.pb.h"

namespace sidelb::client {

// The calls to the daemon, as Client has them.
struct Calls {
  std::function<absl::StatusOr<pb::ApplyResponse>(const pb::ApplyRequest&)> apply;
  std::function<absl::StatusOr<pb::GetStateResponse>(const pb::GetStateRequest&)> get_state;
  std::function<absl::StatusOr<pb::GetInfoResponse>()> get_info;
};

struct Streams {
  std::istream& in;
  std::ostream& out;
  std::ostream& err;
  Colour out_colour = Colour::kNever;
  Colour err_colour = Colour::kNever;
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
