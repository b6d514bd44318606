#include "client/follower.h"

#include <algorithm>
#include <utility>

#include "absl/random/random.h"
#include "absl/time/clock.h"
#include "client/error_details.h"
#include "fmt/format.h"

namespace sidelb::client {
namespace {

constexpr absl::Duration kDefaultHeartbeat = absl::Seconds(10);

absl::Duration HeartbeatOf(const pb::WatchRequest& request) {
  if (!request.has_heartbeat_interval()) return kDefaultHeartbeat;
  return absl::Seconds(request.heartbeat_interval().seconds()) +
         absl::Nanoseconds(request.heartbeat_interval().nanos());
}

// Whether the same request may succeed later.
bool IsTransient(const absl::Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kInvalidArgument:
    case absl::StatusCode::kUnimplemented:
    case absl::StatusCode::kUnauthenticated:
    case absl::StatusCode::kFailedPrecondition:
    case absl::StatusCode::kNotFound:
      return false;
    case absl::StatusCode::kPermissionDenied:
      // A daemon that starts creates its socket before it sets the mode.
      return GetErrorDetails(status).reason == kReasonUnreachable;
    default:
      return true;
  }
}

}  // namespace

Follower::Follower(pb::WatchRequest request, Options options)
    : request_(std::move(request)),
      options_(std::move(options)),
      silence_(HeartbeatOf(request_) * options_.silent_heartbeats) {}

Follower::~Follower() = default;

std::optional<ResumeToken> Follower::token() const {
  if (has_ever_received_) return view_.token();
  if (request_.resume_epoch().empty()) return std::nullopt;
  return ResumeToken{request_.resume_epoch(), request_.resume_position()};
}

bool Follower::is_cancelled() {
  absl::MutexLock lock(&mutex_);
  return is_cancelled_;
}

void Follower::Cancel() {
  absl::MutexLock lock(&mutex_);
  is_cancelled_ = true;
  if (stream_ != nullptr) stream_->Cancel();
}

absl::Duration Follower::Backoff(int attempt) const {
  absl::Duration backoff = options_.min_backoff;
  for (int i = 1; i < attempt && backoff < options_.max_backoff; ++i) backoff *= 2;
  absl::BitGen random;
  return std::min(backoff, options_.max_backoff) * absl::Uniform(random, 0.5, 1.0);
}

bool Follower::WaitForRetry(absl::Time deadline) {
  absl::MutexLock lock(&mutex_);
  mutex_.AwaitWithDeadline(absl::Condition(&is_cancelled_), std::min(retry_time_, deadline));
  return !is_cancelled_ && absl::Now() >= retry_time_;
}

absl::Status Follower::Open() {
  const std::optional<ResumeToken> from = token();
  request_.set_resume_epoch(from ? from->epoch : "");
  request_.set_resume_position(from ? from->position : 0);
  if (!from) {
    request_.set_skip_snapshot(false);
    ExpectSnapshot();
  }
  auto stream = options_.open(request_);
  if (!stream.ok()) return stream.status();
  last_message_time_ = absl::Now();
  absl::MutexLock lock(&mutex_);
  stream_ = *std::move(stream);
  if (is_cancelled_) stream_->Cancel();
  return absl::OkStatus();
}

std::unique_lock<std::mutex> Follower::LockView() const {
  if (options_.view_mutex == nullptr) return {};
  return std::unique_lock(*options_.view_mutex);
}

void Follower::ExpectSnapshot() {
  const auto lock = LockView();
  view_.ExpectSnapshot();
}

void Follower::Close() {
  std::unique_ptr<WatchStream> closing;
  {
    absl::MutexLock lock(&mutex_);
    closing = std::move(stream_);
  }
}

Follower::Step Follower::Lose(absl::Status status) {
  Close();
  Step step;
  step.status = std::move(status);
  if (is_cancelled()) {
    step.kind = Step::Kind::kCancelled;
    return step;
  }
  if (!has_ever_received_ || !IsTransient(step.status)) {
    step.kind = Step::Kind::kFailed;
    return step;
  }
  // The daemon does not know the place: a restart with the same epoch cannot be, so begin anew.
  if (absl::IsOutOfRange(step.status)) ExpectSnapshot();
  ++failures_;
  is_reconnecting_ = true;
  step.kind = Step::Kind::kLost;
  step.retry_in = Backoff(failures_);
  if (const auto delay = GetErrorDetails(step.status).retry_delay) {
    step.retry_in = std::max(step.retry_in, *delay);
  }
  retry_time_ = absl::Now() + step.retry_in;
  return step;
}

Follower::Step Follower::Take(pb::WatchResponse message) {
  Step step;
  step.kind = Step::Kind::kMessage;
  step.message = std::move(message);
  last_message_time_ = absl::Now();
  has_ever_received_ = true;
  failures_ = 0;
  step.is_reconnected = std::exchange(is_reconnecting_, false);
  {
    const auto lock = LockView();
    step.changes = view_.Apply(step.message);
  }
  // A filter by state has no digest, and one taken while events wait is ahead of the view.
  const bool is_provable = step.message.has_heartbeat() && view_.is_complete() &&
                           request_.filter().states().empty() &&
                           step.message.heartbeat().queued_events() == 0;
  if (!is_provable) return step;
  if (step.message.heartbeat().config_digest() == view_.digest()) {
    divergences_ = 0;
    return step;
  }
  step.kind = Step::Kind::kDiverged;
  step.status = MakeError(
      absl::StatusCode::kDataLoss, "DIVERGED",
      fmt::format("the view at revision {} has digest {:016x}, the daemon's has {:016x}",
                  view_.revision(), view_.digest(), step.message.heartbeat().config_digest()));
  ExpectSnapshot();
  Close();
  is_reconnecting_ = true;
  step.retry_in = Backoff(++divergences_);
  retry_time_ = absl::Now() + step.retry_in;
  return step;
}

Follower::Step Follower::Next(absl::Time deadline) {
  if (stream_ == nullptr) {
    if (!WaitForRetry(deadline)) {
      Step step;
      step.kind = is_cancelled() ? Step::Kind::kCancelled : Step::Kind::kTimeout;
      return step;
    }
    if (absl::Status status = Open(); !status.ok()) return Lose(std::move(status));
  }
  const absl::Time silence_end = last_message_time_ + silence_;
  auto received = stream_->Next(std::min(deadline, silence_end));
  if (!received.ok()) return Lose(received.status());
  if (*received) return Take(**std::move(received));
  if (is_cancelled()) return Lose(absl::CancelledError(""));
  if (absl::Now() >= silence_end && silence_end <= deadline) {
    return Lose(MakeError(absl::StatusCode::kUnavailable, kReasonConnectionLost,
                          fmt::format("no message came for {}", absl::FormatDuration(silence_))));
  }
  return {};
}

}  // namespace sidelb::client
