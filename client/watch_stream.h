// WatchStream: one open Watch. It ends for good when its connection breaks; Follower opens the next
// one where it stopped.
//
// Thread safety: Next() by one thread at a time; Cancel() by any thread at any time.
// Ownership: must be destroyed before the Client that opened it; destruction cancels.
#pragma once

#include <optional>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "sidelb/v1/control.pb.h"

namespace sidelb::client {

namespace pb = sidelb::v1;

class WatchStream {
 public:
  virtual ~WatchStream() = default;

  // Waits for the next message until `deadline`: nullopt when none came, the stream is still good
  // then. An error ends the stream: the daemon's, UNAVAILABLE (UNREACHABLE or CONNECTION_LOST), or
  // CANCELLED after Cancel().
  virtual absl::StatusOr<std::optional<pb::WatchResponse>> Next(absl::Time deadline) = 0;

  // Ends a Next() that waits, and all that follow.
  virtual void Cancel() = 0;
};

}  // namespace sidelb::client
