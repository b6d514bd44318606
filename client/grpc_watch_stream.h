// GrpcWatchStream: a WatchStream over a stub of gRPC. Only sidelb_client.cc and its parts include
// this: it shows gRPC.
//
// Thread safety and ownership: as WatchStream; the stub must outlive it.
#pragma once

#include <grpcpp/grpcpp.h>

#include <atomic>
#include <functional>
#include <memory>

#include "client/watch_stream.h"
#include "sidelb/v1/control.grpc.pb.h"

namespace sidelb::client {

class GrpcWatchStream : public WatchStream {
 public:
  // `to_status` turns the error that ended the call into one of the client's.
  GrpcWatchStream(pb::ControlService::Stub* stub, const pb::WatchRequest& request,
                  std::function<absl::Status(const grpc::Status&)> to_status);
  ~GrpcWatchStream() override;

  absl::StatusOr<std::optional<pb::WatchResponse>> Next(absl::Time deadline) override;
  void Cancel() override;

 private:
  // What the one operation that is under way will report; the queue never holds more than one.
  enum class Pending { kStart, kRead, kNone };

  absl::Status Finish();

  const std::function<absl::Status(const grpc::Status&)> to_status_;
  grpc::ClientContext context_;
  grpc::CompletionQueue queue_;
  std::unique_ptr<grpc::ClientAsyncReader<pb::WatchResponse>> reader_;
  Pending pending_ = Pending::kStart;
  pb::WatchResponse message_;
  absl::Status end_;  // not OK once the stream has ended
  std::atomic<bool> is_cancelled_ = false;
};

}  // namespace sidelb::client
