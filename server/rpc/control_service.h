// ControlService: sidelb.v1.ControlService over the callback API of gRPC. It converts, hands over
// to the controller, and answers from the control thread. Whether the caller may ask is the first
// thing that it looks at. What is not built yet answers UNIMPLEMENTED (CAPABILITY).
//
// Thread safety: the handlers by gRPC, Stop() by the thread that owns it. No handler blocks.
// Ownership: RpcServer owns it; it must outlive the grpc::Server, and the controller and its
// surroundings must outlive it.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "server/control/controller.h"
#include "server/rpc/access.h"
#include "server/rpc/authorize.h"
#include "server/rpc/pending_calls.h"
#include "server/rpc/shutdown_switch.h"
#include "server/rpc/state_pages.h"
#include "server/rpc/watch_hub.h"
#include "sidelb/v1/control.grpc.pb.h"

namespace sidelb::rpc {

// What GetInfo and GetState say of this daemon beside what control knows.
struct Identity {
  std::string version;      // "0.1.0"
  std::string instance_id;  // the host's name
  std::string epoch;        // as in control::Info
};

// The unary calls by messages, Watch by bytes, which the hub encodes once for many.
using ControlServiceBase = pb::ControlService::WithCallbackMethod_Apply<
    pb::ControlService::WithCallbackMethod_GetState<pb::ControlService::WithRawCallbackMethod_Watch<
        pb::ControlService::WithCallbackMethod_RenewLease<
            pb::ControlService::WithCallbackMethod_GetStats<
                pb::ControlService::WithCallbackMethod_GetInfo<
                    pb::ControlService::WithCallbackMethod_ListAudit<
                        pb::ControlService::WithCallbackMethod_Shutdown<
                            pb::ControlService::Service>>>>>>>>;

class ControlService final : public ControlServiceBase {
 public:
  // What a daemon has around the service; in tests there may be less.
  struct Surroundings {
    const Access* access = nullptr;      // null: every caller is an anonymous admin
    ShutdownSwitch* shutdown = nullptr;  // null: Shutdown is refused
    // What the endpoint refused, as faults of GetInfo: code and count.
    std::function<std::vector<std::pair<std::string, uint64_t>>()> refusals;
  };

  ControlService(control::Controller* controller, Identity identity,
                 WatchHub::Options watches = WatchHub::Options())
      : ControlService(controller, std::move(identity), watches, Surroundings()) {}
  ControlService(control::Controller* controller, Identity identity, WatchHub::Options watches,
                 Surroundings surroundings);

  // Ends all calls under way, and those to come, with UNAVAILABLE (SERVER_DRAINING); watches are
  // told that the server goes away within `grace`.
  void Stop(absl::Duration grace);

  size_t watch_count() const { return watches_.count(); }  // any thread

  grpc::ServerUnaryReactor* Apply(grpc::CallbackServerContext* context,
                                  const pb::ApplyRequest* request,
                                  pb::ApplyResponse* response) override;
  grpc::ServerUnaryReactor* GetState(grpc::CallbackServerContext* context,
                                     const pb::GetStateRequest* request,
                                     pb::GetStateResponse* response) override;
  grpc::ServerUnaryReactor* GetInfo(grpc::CallbackServerContext* context,
                                    const pb::GetInfoRequest* request,
                                    pb::GetInfoResponse* response) override;

  grpc::ServerWriteReactor<grpc::ByteBuffer>* Watch(grpc::CallbackServerContext* context,
                                                    const grpc::ByteBuffer* request) override;
  grpc::ServerUnaryReactor* RenewLease(grpc::CallbackServerContext* context,
                                       const pb::RenewLeaseRequest* request,
                                       pb::RenewLeaseResponse* response) override;
  grpc::ServerUnaryReactor* GetStats(grpc::CallbackServerContext* context,
                                     const pb::GetStatsRequest* request,
                                     pb::GetStatsResponse* response) override;
  grpc::ServerUnaryReactor* ListAudit(grpc::CallbackServerContext* context,
                                      const pb::ListAuditRequest* request,
                                      pb::ListAuditResponse* response) override;
  grpc::ServerUnaryReactor* Shutdown(grpc::CallbackServerContext* context,
                                     const pb::ShutdownRequest* request,
                                     pb::ShutdownResponse* response) override;

 private:
  // The answer to a call that asks for another page.
  absl::StatusOr<pb::GetStateResponse> NextPage(const pb::GetStateRequest& request,
                                                const std::string& selection, size_t page_size);

  std::optional<control::Caller> Identify(const grpc::CallbackServerContext& context) const;
  // Who calls, if `authorize`, which gets the Caller, does not refuse.
  template <typename Authorization>
  absl::StatusOr<control::Caller> Admit(const grpc::CallbackServerContext& context,
                                        const Authorization& authorize) const;
  absl::StatusOr<control::Caller> Admit(const grpc::CallbackServerContext& context,
                                        Call call) const;
  void AddRefusals(pb::GetInfoResponse* response) const;
  absl::Status StartShutdown(const pb::ShutdownRequest& request, const control::Caller& caller,
                             pb::ShutdownResponse* response);

  control::Controller* const controller_;
  const Identity identity_;
  const Surroundings surroundings_;
  StatePages pages_;
  PendingCalls calls_;
  WatchHub watches_;
};

}  // namespace sidelb::rpc
