#include "server/rpc/control_service.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "absl/time/clock.h"
#include "fmt/format.h"
#include "server/rpc/convert_request.h"
#include "server/rpc/convert_state.h"
#include "server/rpc/convert_stats.h"
#include "server/rpc/limits.h"
#include "server/rpc/status.h"
#include "server/rpc/supported_fields.h"

namespace sidelb::rpc {
namespace {

// How long a read waits for min_revision when its call has no deadline.
constexpr absl::Duration kDefaultReadWait = absl::Seconds(60);

// When the answer should leave, so that it arrives before the call's deadline; InfiniteFuture()
// without one.
absl::Time AnswerBy(const grpc::CallbackServerContext& context, absl::Time now) {
  const auto deadline = context.deadline();
  // gRPC says "none" by the last time point there is.
  if (deadline == std::chrono::system_clock::time_point::max()) return absl::InfiniteFuture();
  const absl::Time end = absl::FromChrono(deadline);
  // Control looks at the clock once in a tick, and the answer has to travel.
  const absl::Duration margin =
      std::clamp((end - now) / 10, absl::Milliseconds(150), absl::Milliseconds(500));
  return std::max(end - margin, now);
}

StatePages::Time SteadyNow() { return std::chrono::steady_clock::now(); }

// Filter and view, which all pages of one read have in common.
std::string SelectionOf(const pb::GetStateRequest& request) {
  return fmt::format("{}/{}", static_cast<int>(request.view()),
                     request.filter().SerializeAsString());
}

absl::Status RpcNotBuilt(std::string_view name) {
  return CapabilityError("", fmt::format("the call {} is not supported by this version", name));
}

grpc::ServerUnaryReactor* Refuse(grpc::CallbackServerContext* context, std::string_view name) {
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  reactor->Finish(ToGrpcStatus(RpcNotBuilt(name)));
  return reactor;
}

}  // namespace

ControlService::ControlService(control::Controller* controller, Identity identity,
                               WatchHub::Options watches)
    : controller_(controller),
      identity_(std::move(identity)),
      watches_(controller, identity_.epoch, watches) {}

void ControlService::Stop(absl::Duration grace) {
  watches_.Stop(grace);
  calls_.FinishAll(ToGrpcStatus(DrainingError()));
}

grpc::ServerUnaryReactor* ControlService::Apply(grpc::CallbackServerContext* context,
                                                const pb::ApplyRequest* request,
                                                pb::ApplyResponse* response) {
  const auto call = calls_.Start();
  if (call->is_claimed()) return call.get();  // stopping
  pages_.Expire(SteadyNow());
  const auto refuse = [&](const absl::Status& status) {
    if (!request->validate_only()) {
      controller_->NoteRejected({.owner = request->owner(),
                                 .comment = request->comment(),
                                 .request_id = request->request_id()},
                                status);
    }
    if (call->Claim()) call->Finish(ToGrpcStatus(status));
    return call.get();
  };
  if (const absl::Status status = CheckWrite(*request); !status.ok()) return refuse(status);
  absl::StatusOr<control::ApplyRequest> model = FromProto(*request);
  if (!model.ok()) return refuse(model.status());
  model->answer_by = AnswerBy(*context, absl::Now());
  controller_->Apply(*std::move(model),
                     [call, response](absl::StatusOr<control::ApplyResponse> result) {
                       if (!call->Claim()) return;
                       if (result.ok()) *response = ToProto(*result);
                       call->Finish(ToGrpcStatus(result.status()));
                     });
  return call.get();
}

absl::StatusOr<pb::GetStateResponse> ControlService::NextPage(const pb::GetStateRequest& request,
                                                              const std::string& selection,
                                                              size_t page_size) {
  auto page = pages_.Next(request.page_token(), selection, page_size, SteadyNow());
  if (page.ok()) page->set_epoch(identity_.epoch);
  return page;
}

grpc::ServerUnaryReactor* ControlService::GetState(grpc::CallbackServerContext* context,
                                                   const pb::GetStateRequest* request,
                                                   pb::GetStateResponse* response) {
  const auto call = calls_.Start();
  if (call->is_claimed()) return call.get();  // stopping
  absl::StatusOr<StateQuery> query = FromProto(*request);
  if (!query.ok()) {
    if (call->Claim()) call->Finish(ToGrpcStatus(query.status()));
    return call.get();
  }
  std::string selection = SelectionOf(*request);
  if (!request->page_token().empty()) {
    auto page = NextPage(*request, selection, query->page_size);
    if (!call->Claim()) return call.get();
    if (page.ok()) *response = *std::move(page);
    call->Finish(ToGrpcStatus(page.status()));
    return call.get();
  }
  const absl::Time now = absl::Now();
  const absl::Time deadline = std::min(AnswerBy(*context, now), now + kDefaultReadWait);
  const StateDetail detail = query->is_config_only ? StateDetail::kConfig : StateDetail::kFull;
  controller_->GetState(
      std::move(query->filter), query->min_revision, deadline,
      [this, call, response, detail, page_size = query->page_size,
       selection =
           std::move(selection)](absl::StatusOr<std::shared_ptr<const control::StateView>> view) {
        // Before the claim `this` may be gone already, after it not before Finish().
        if (!call->Claim()) return;
        if (view.ok()) {
          *response = pages_.First(*std::move(view), detail, selection, page_size, SteadyNow());
          response->set_epoch(identity_.epoch);
        }
        call->Finish(ToGrpcStatus(view.status()));
      });
  return call.get();
}

grpc::ServerUnaryReactor* ControlService::GetInfo(grpc::CallbackServerContext*,
                                                  const pb::GetInfoRequest*,
                                                  pb::GetInfoResponse* response) {
  const auto call = calls_.Start();
  if (call->is_claimed()) return call.get();  // stopping
  pages_.Expire(SteadyNow());
  controller_->GetInfo([this, call, response](control::Info info) {
    if (!call->Claim()) return;
    *response = ToProto(info);
    response->set_version(identity_.version);
    response->set_instance_id(identity_.instance_id);
    for (std::string& name : Capabilities()) response->add_capabilities(std::move(name));
    pb::Limits* limits = response->mutable_limits();
    limits->set_max_backends(control::kMaxBackends);
    limits->set_max_ops(control::kMaxOps);
    limits->set_max_message_bytes(kMaxMessageBytes);
    limits->set_max_watches(kMaxWatches);
    call->Finish(grpc::Status::OK);
  });
  return call.get();
}

grpc::ServerWriteReactor<grpc::ByteBuffer>* ControlService::Watch(
    grpc::CallbackServerContext* context, const grpc::ByteBuffer* request) {
  return watches_.Start(context, request);
}

grpc::ServerUnaryReactor* ControlService::RenewLease(grpc::CallbackServerContext* context,
                                                     const pb::RenewLeaseRequest*,
                                                     pb::RenewLeaseResponse*) {
  return Refuse(context, "RenewLease");
}

grpc::ServerUnaryReactor* ControlService::GetStats(grpc::CallbackServerContext*,
                                                   const pb::GetStatsRequest* request,
                                                   pb::GetStatsResponse* response) {
  const auto call = calls_.Start();
  if (call->is_claimed()) return call.get();  // stopping
  absl::StatusOr<StatsQuery> query = FromProto(*request);
  if (!query.ok()) {
    if (call->Claim()) call->Finish(ToGrpcStatus(query.status()));
    return call.get();
  }
  controller_->GetStats(std::move(query->filter), query->reset_peaks,
                        [call, response](absl::StatusOr<control::Stats> stats) {
                          if (!call->Claim()) return;
                          absl::Status status = stats.status();
                          if (stats.ok()) {
                            *response = ToProto(*stats);
                            status = CheckSize(*response);
                          }
                          call->Finish(ToGrpcStatus(status));
                        });
  return call.get();
}

grpc::ServerUnaryReactor* ControlService::ListAudit(grpc::CallbackServerContext*,
                                                    const pb::ListAuditRequest* request,
                                                    pb::ListAuditResponse* response) {
  const auto call = calls_.Start();
  if (call->is_claimed()) return call.get();  // stopping
  absl::StatusOr<control::AuditQuery> query = FromProto(*request);
  if (!query.ok()) {
    if (call->Claim()) call->Finish(ToGrpcStatus(query.status()));
    return call.get();
  }
  controller_->ListAudit(*std::move(query),
                         [call, response](absl::StatusOr<control::AuditPage> page) {
                           if (!call->Claim()) return;
                           if (page.ok()) *response = ToProto(*page);
                           call->Finish(ToGrpcStatus(page.status()));
                         });
  return call.get();
}

grpc::ServerUnaryReactor* ControlService::Shutdown(grpc::CallbackServerContext* context,
                                                   const pb::ShutdownRequest*,
                                                   pb::ShutdownResponse*) {
  return Refuse(context, "Shutdown");
}

}  // namespace sidelb::rpc
