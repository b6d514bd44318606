// PendingCall: a unary call that another thread answers later. PendingCalls: all that are open, so
// that the service can end them when it stops.
//
// A call is answered by whoever claims it first: the answer itself, the client that went away, or
// FinishAll(). Only the one that claimed it may touch the response, fill it in, and must then call
// Finish() once, as its last touch of call and service.
//
// Thread safety: any thread.
// Ownership: gRPC keeps a call until OnDone(); whoever will answer it holds a shared_ptr.
// PendingCalls must outlive the grpc::Server.
#pragma once

#include <grpcpp/support/server_callback.h>

#include <atomic>
#include <memory>
#include <mutex>
#include <unordered_set>

namespace sidelb::rpc {

class PendingCalls;

class PendingCall : public grpc::ServerUnaryReactor {
 public:
  explicit PendingCall(PendingCalls* calls) : calls_(calls) {}

  // True for one caller only, who must Finish().
  bool Claim() { return !is_claimed_.exchange(true); }
  bool is_claimed() const { return is_claimed_.load(); }

 private:
  friend class PendingCalls;

  void OnCancel() override;
  void OnDone() override;

  PendingCalls* const calls_;
  std::atomic<bool> is_claimed_{false};
  std::shared_ptr<PendingCall> self_;  // until OnDone()
};

class PendingCalls {
 public:
  // A call that the caller's handler returns to gRPC. After FinishAll() it comes claimed and
  // finished.
  std::shared_ptr<PendingCall> Start();

  // Ends every open call, and those to come, with `status`.
  void FinishAll(const grpc::Status& status);

 private:
  friend class PendingCall;
  void Remove(PendingCall* call);

  std::mutex mutex_;
  std::unordered_set<PendingCall*> open_;
  bool is_closed_ = false;
  grpc::Status closed_status_;
};

}  // namespace sidelb::rpc
