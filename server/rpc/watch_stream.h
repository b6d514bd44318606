// WatchStream: one call of Watch, as gRPC sees it. It hands over what gRPC says to the WatchHub and
// does what the hub says.
//
// Thread safety: gRPC calls the On...() functions; the rest by the hub's thread only, and nothing
// after Finish(). Ownership: the hub, from Start() until OnDone().
#pragma once

#include <grpcpp/server_context.h>
#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/server_callback.h>

#include <cassert>
#include <functional>
#include <utility>

namespace sidelb::rpc {

class WatchStream final : public grpc::ServerWriteReactor<grpc::ByteBuffer> {
 public:
  // Each is called on a thread of gRPC and must not block. `on_done` is the last.
  struct Callbacks {
    std::function<void(bool ok)> on_written;
    std::function<void()> on_cancelled;
    std::function<void()> on_done;
  };
  WatchStream(grpc::CallbackServerContext* context, Callbacks callbacks)
      : context_(context), callbacks_(std::move(callbacks)) {
    StartSendInitialMetadata();  // the client sees that the stream is open
  }

  // REQUIRES: no other one is under way.
  void Write(grpc::ByteBuffer message) {
    assert(!is_finished_);  // gRPC may have freed the call
    message_ = std::move(message);
    StartWrite(&message_);
  }
  // REQUIRES: no Write() is under way.
  void WriteAndFinish(grpc::ByteBuffer message, const grpc::Status& status) {
    assert(!is_finished_);
    is_finished_ = true;
    message_ = std::move(message);
    StartWriteAndFinish(&message_, grpc::WriteOptions(), status);
  }
  void Finish(const grpc::Status& status) {
    assert(!is_finished_);
    is_finished_ = true;
    ServerWriteReactor::Finish(status);
  }
  // Makes a Write() under way fail.
  void Cancel() { context_->TryCancel(); }

 private:
  void OnWriteDone(bool ok) override { callbacks_.on_written(ok); }
  void OnCancel() override { callbacks_.on_cancelled(); }
  void OnDone() override { callbacks_.on_done(); }

  grpc::CallbackServerContext* const context_;
  const Callbacks callbacks_;
  grpc::ByteBuffer message_;  // under way
  bool is_finished_ = false;
};

}  // namespace sidelb::rpc
