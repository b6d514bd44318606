// What the commands over a Watch have in common: a Follower that Ctrl-C ends, and what is told of
// its connection on standard error.
//
// Thread safety: one thread at a time.
#pragma once

#include <string>
#include <vector>

#include "client/cli/exit_code.h"
#include "client/cli/invocation.h"
#include "client/follower.h"

namespace sidelb::client {

// A Follower of the invocation's daemon.
Follower::Options FollowOptions(const Invocation& invocation);

// A request for objects of these kinds; of these pools, or of all when `pools` is empty.
pb::WatchRequest FollowRequest(const std::vector<pb::ObjectKind>& kinds,
                               const std::vector<std::string>& pools, pb::View view);

// Tells of lost and new connections, of restarts and of views that were wrong; says nothing twice.
class ConnectionNotices {
 public:
  explicit ConnectionNotices(const Streams& streams) : streams_(streams) {}

  void Tell(const Follower::Step& step);

 private:
  const Streams& streams_;
  std::string last_loss_;
};

// Whether `step` ends a command, and how; prints the error that it ends with.
std::optional<ExitCode> EndOf(const Invocation& invocation, const Follower::Step& step);

}  // namespace sidelb::client
