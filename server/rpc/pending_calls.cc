#include "server/rpc/pending_calls.h"

#include <utility>
#include <vector>

namespace sidelb::rpc {

void PendingCall::OnCancel() {
  // Nobody reads this status, but gRPC needs one Finish() for each call.
  if (Claim()) Finish(grpc::Status(grpc::StatusCode::CANCELLED, "the client went away"));
}

void PendingCall::OnDone() {
  calls_->Remove(this);
  // Deletes the call, unless whoever was to answer it still holds it.
  const std::shared_ptr<PendingCall> self = std::move(self_);
}

std::shared_ptr<PendingCall> PendingCalls::Start() {
  auto call = std::make_shared<PendingCall>(this);
  call->self_ = call;
  {
    const std::lock_guard lock(mutex_);
    if (!is_closed_) {
      open_.insert(call.get());
      return call;
    }
  }
  // FinishAll() is over, so that nobody writes the status any more.
  call->Claim();
  call->Finish(closed_status_);
  return call;
}

void PendingCalls::FinishAll(const grpc::Status& status) {
  std::vector<std::shared_ptr<PendingCall>> open;
  {
    const std::lock_guard lock(mutex_);
    if (is_closed_) return;
    is_closed_ = true;
    closed_status_ = status;
    open.reserve(open_.size());
    for (PendingCall* call : open_) open.push_back(call->self_);
  }
  // Without the lock: Finish() may run OnDone() on this thread.
  for (const auto& call : open) {
    if (call->Claim()) call->Finish(status);
  }
}

void PendingCalls::Remove(PendingCall* call) {
  const std::lock_guard lock(mutex_);
  open_.erase(call);
}

}  // namespace sidelb::rpc
