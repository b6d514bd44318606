#include "client/grpc_watch_stream.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "absl/time/clock.h"
#include "client/error_details.h"

namespace sidelb::client {
namespace {

// Beyond it the clocks' arithmetic overflows.
constexpr absl::Duration kLongestWait = absl::Hours(24 * 365);

std::chrono::system_clock::time_point ToDeadline(absl::Time deadline) {
  const absl::Time now = absl::Now();
  // An early end costs nothing: the caller asks again.
  return absl::ToChronoTime(std::clamp(deadline, now, now + kLongestWait));
}

}  // namespace

GrpcWatchStream::GrpcWatchStream(pb::ControlService::Stub* stub, const pb::WatchRequest& request,
                                 std::function<absl::Status(const grpc::Status&)> to_status)
    : to_status_(std::move(to_status)),
      reader_(stub->AsyncWatch(&context_, request, &queue_, nullptr)) {}

GrpcWatchStream::~GrpcWatchStream() {
  context_.TryCancel();
  // gRPC demands the end of the call and an empty queue before either is destroyed.
  if (end_.ok()) Finish().IgnoreError();
  queue_.Shutdown();
  void* tag = nullptr;
  bool is_good = false;
  while (queue_.Next(&tag, &is_good)) {
  }
}

absl::StatusOr<std::optional<pb::WatchResponse>> GrpcWatchStream::Next(absl::Time deadline) {
  while (end_.ok()) {
    if (pending_ == Pending::kNone) {
      reader_->Read(&message_, nullptr);
      pending_ = Pending::kRead;
    }
    void* tag = nullptr;
    bool is_good = false;
    const auto next = queue_.AsyncNext(&tag, &is_good, ToDeadline(deadline));
    if (next == grpc::CompletionQueue::TIMEOUT) return std::optional<pb::WatchResponse>();
    const Pending done = std::exchange(pending_, Pending::kNone);
    if (!is_good) {
      end_ = Finish();
    } else if (done == Pending::kRead) {
      return std::optional<pb::WatchResponse>(std::exchange(message_, {}));
    }
  }
  return end_;
}

absl::Status GrpcWatchStream::Finish() {
  void* tag = nullptr;
  bool is_good = false;
  if (pending_ != Pending::kNone) {  // only at destruction, which has cancelled the call
    queue_.Next(&tag, &is_good);
    pending_ = Pending::kNone;
  }
  grpc::Status status;
  reader_->Finish(&status, nullptr);
  queue_.Next(&tag, &is_good);
  if (is_cancelled_) return absl::CancelledError("the watch was cancelled");
  if (!status.ok()) return to_status_(status);
  return MakeError(absl::StatusCode::kUnavailable, kReasonConnectionLost,
                   "the daemon ended the watch");
}

void GrpcWatchStream::Cancel() {
  is_cancelled_ = true;
  context_.TryCancel();
}

}  // namespace sidelb::client
