#include "client/cli/follow.h"

#include "client/cli/object_tables.h"
#include "client/cli/report.h"
#include "client/cli/values.h"
#include "fmt/format.h"

namespace sidelb::client {
namespace {

std::string WhyResync(pb::ResyncReason reason) {
  switch (reason) {
    case pb::RESYNC_REASON_NEW_EPOCH:
      return "the daemon was restarted";
    case pb::RESYNC_REASON_TOO_OLD:
      return "the daemon no longer has the events since then";
    case pb::RESYNC_REASON_SLOW_CONSUMER:
      return "events came faster than they were read";
    default:
      return "the daemon says so";
  }
}

}  // namespace

Follower::Options FollowOptions(const Invocation& invocation) {
  Follower::Options options;
  options.open = invocation.calls.watch;
  return options;
}

pb::WatchRequest FollowRequest(const std::vector<pb::ObjectKind>& kinds,
                               const std::vector<std::string>& pools, pb::View view) {
  pb::WatchRequest request;
  for (pb::ObjectKind kind : kinds) request.mutable_filter()->add_kinds(kind);
  for (const std::string& pool : pools) request.mutable_filter()->add_pools(pool);
  request.set_view(view);
  return request;
}

void ConnectionNotices::Tell(const Follower::Step& step) {
  const std::string message(step.status.message());
  if (step.kind == Follower::Step::Kind::kLost && message != last_loss_) {
    last_loss_ = message;
    PrintWarning(streams_, fmt::format("{} (trying again)", message));
  }
  if (step.kind == Follower::Step::Kind::kDiverged) {
    PrintError(step.status, Output::kTable, streams_);
    PrintWarning(streams_, "something was missed or is wrong: fetching everything anew");
  }
  if (step.kind != Follower::Step::Kind::kMessage) return;
  if (step.is_reconnected && !last_loss_.empty()) {
    last_loss_.clear();
    PrintNotice(streams_, "connected again");
  }
  if (step.message.has_resync()) {
    PrintNotice(streams_, fmt::format("everything comes anew: {}",
                                      WhyResync(step.message.resync().reason())));
  }
  if (step.message.has_going_away()) {
    const pb::GoingAway& going = step.message.going_away();
    PrintNotice(streams_, fmt::format("the daemon is going away within {}{}{}",
                                      DurationText(FromProto(going.grace())),
                                      going.detail().empty() ? "" : ": ", going.detail()));
  }
}

std::optional<ExitCode> EndOf(const Invocation& invocation, const Follower::Step& step) {
  if (step.kind == Follower::Step::Kind::kCancelled) return ExitCode::kInterrupted;
  if (step.kind == Follower::Step::Kind::kFailed) {
    return PrintError(step.status, invocation.arguments.global.output, invocation.streams);
  }
  // A pipe that nobody reads any more; Run() tells of it.
  if (!invocation.streams.out) return ExitCode::kRejected;
  return std::nullopt;
}

}  // namespace sidelb::client
