#include "server/rpc/control_service.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "absl/time/clock.h"
#include "fmt/format.h"
#include "server/control/errors.h"
#include "server/rpc/convert_request.h"
#include "server/rpc/convert_state.h"
#include "server/rpc/convert_stats.h"
#include "server/rpc/convert_values.h"
#include "server/rpc/limits.h"
#include "server/rpc/status.h"
#include "server/rpc/supported_fields.h"
#include "spdlog/spdlog.h"

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

// A shutdown closes listeners at once, whose queued connections would be lost to a daemon that
// thinks better of it: it cannot be taken back.
absl::Status CancelError(bool is_draining) {
  if (!is_draining) {
    return control::MakeError(absl::StatusCode::kFailedPrecondition,
                              "mode: the daemon is not draining, there is nothing to cancel",
                              {.reason = "NOT_DRAINING"});
  }
  return control::MakeError(absl::StatusCode::kFailedPrecondition,
                            "mode: a drain that has begun cannot be cancelled, listeners are "
                            "closed; start the daemon again once it has ended",
                            {.reason = "NOT_CANCELLABLE"});
}

absl::Status RpcNotBuilt(std::string_view name) {
  return CapabilityError("", fmt::format("the call {} is not supported by this version", name));
}

}  // namespace

ControlService::ControlService(control::Controller* controller, Identity identity,
                               WatchHub::Options watches, Surroundings surroundings)
    : controller_(controller),
      identity_(std::move(identity)),
      surroundings_(std::move(surroundings)),
      watches_(controller, identity_.epoch, watches) {}

void ControlService::Stop(absl::Duration grace) {
  watches_.Stop(grace);
  calls_.FinishAll(ToGrpcStatus(DrainingError()));
}

// Who calls, whatever it may do; nullopt for who may do nothing.
std::optional<control::Caller> ControlService::Identify(
    const grpc::CallbackServerContext& context) const {
  if (surroundings_.access == nullptr) {
    return control::Caller{.principal = std::string(kAnonymous),
                           .peer = PeerText(context.peer(), "")};
  }
  auto caller = surroundings_.access->CallerOf(context);
  if (!caller.ok()) return std::nullopt;
  return *std::move(caller);
}

template <typename Authorization>
absl::StatusOr<control::Caller> ControlService::Admit(const grpc::CallbackServerContext& context,
                                                      const Authorization& authorize) const {
  if (surroundings_.access == nullptr) {
    return ResolveCaller(nullptr, {std::string(kAnonymous)}, PeerText(context.peer(), ""));
  }
  auto caller = surroundings_.access->CallerOf(context);
  const absl::Status status = caller.ok() ? authorize(*caller) : caller.status();
  if (status.ok()) return caller;
  surroundings_.access->CountDenied(status);
  return status;
}

absl::StatusOr<control::Caller> ControlService::Admit(const grpc::CallbackServerContext& context,
                                                      Call call) const {
  return Admit(context, [call](const control::Caller& caller) { return Authorize(caller, call); });
}

grpc::ServerUnaryReactor* ControlService::Apply(grpc::CallbackServerContext* context,
                                                const pb::ApplyRequest* request,
                                                pb::ApplyResponse* response) {
  const auto call = calls_.Start();
  if (call->is_claimed()) return call.get();  // stopping
  pages_.Expire(SteadyNow());
  const auto refuse = [&](const absl::Status& status) {
    const auto known = Identify(*context);  // strangers are counted, and cannot fill the audit
    if (!request->validate_only() && known.has_value()) {
      controller_->NoteRejected({.owner = OwnerOf(request->owner()),
                                 .comment = request->comment(),
                                 .request_id = request->request_id(),
                                 .caller = *known},
                                status);
    }
    if (call->Claim()) call->Finish(ToGrpcStatus(status));
    return call.get();
  };
  auto caller =
      Admit(*context, [request](const control::Caller& one) { return Authorize(one, *request); });
  if (!caller.ok()) return refuse(caller.status());
  if (const absl::Status status = CheckWrite(*request); !status.ok()) return refuse(status);
  absl::StatusOr<control::ApplyRequest> model = FromProto(*request);
  if (!model.ok()) return refuse(model.status());
  model->caller = *std::move(caller);
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
  const absl::Status admitted = Admit(*context, Call::kGetState).status();
  absl::StatusOr<StateQuery> query = admitted.ok() ? FromProto(*request) : admitted;
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

grpc::ServerUnaryReactor* ControlService::GetInfo(grpc::CallbackServerContext* context,
                                                  const pb::GetInfoRequest*,
                                                  pb::GetInfoResponse* response) {
  const auto call = calls_.Start();
  if (call->is_claimed()) return call.get();  // stopping
  pages_.Expire(SteadyNow());
  auto caller = Admit(*context, Call::kGetInfo);
  if (!caller.ok()) {
    if (call->Claim()) call->Finish(ToGrpcStatus(caller.status()));
    return call.get();
  }
  controller_->GetInfo([this, call, response, caller = *std::move(caller)](control::Info info) {
    if (!call->Claim()) return;
    *response = ToProto(info);
    response->set_principal(caller.principal);
    response->set_role(ToProto(caller.role));
    AddRefusals(response);
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

void ControlService::AddRefusals(pb::GetInfoResponse* response) const {
  std::vector<std::pair<std::string, uint64_t>> all;
  if (surroundings_.refusals) all = surroundings_.refusals();
  all.emplace_back("CONTROL_WATCH_LIMIT", watches_.refused());
  for (const auto& [code, count] : all) {
    if (count == 0) continue;
    pb::FaultCount* fault = response->add_faults();
    fault->set_code(code);
    fault->set_count(count);
  }
}

grpc::ServerWriteReactor<grpc::ByteBuffer>* ControlService::Watch(
    grpc::CallbackServerContext* context, const grpc::ByteBuffer* request) {
  return watches_.Start(context, request, Admit(*context, Call::kWatch).status());
}

grpc::ServerUnaryReactor* ControlService::RenewLease(grpc::CallbackServerContext* context,
                                                     const pb::RenewLeaseRequest* request,
                                                     pb::RenewLeaseResponse* response) {
  const auto call = calls_.Start();
  if (call->is_claimed()) return call.get();  // stopping
  const auto refuse = [&](const absl::Status& status) {
    if (const auto known = Identify(*context)) {
      controller_->NoteRejected({.owner = OwnerOf(request->owner()), .caller = *known}, status);
    }
    if (call->Claim()) call->Finish(ToGrpcStatus(status));
    return call.get();
  };
  auto caller =
      Admit(*context, [request](const control::Caller& one) { return Authorize(one, *request); });
  if (!caller.ok()) return refuse(caller.status());
  if (const absl::Status status = CheckWrite(*request); !status.ok()) return refuse(status);
  absl::StatusOr<control::RenewLeaseRequest> model = FromProto(*request);
  if (!model.ok()) return refuse(model.status());
  model->caller = *std::move(caller);
  controller_->RenewLease(
      *std::move(model),
      [this, call, response](absl::StatusOr<control::RenewLeaseResponse> result) {
        if (!call->Claim()) return;
        if (result.ok()) {
          *response = ToProto(*result);
          response->set_epoch(identity_.epoch);
        }
        call->Finish(ToGrpcStatus(result.status()));
      });
  return call.get();
}

grpc::ServerUnaryReactor* ControlService::GetStats(grpc::CallbackServerContext* context,
                                                   const pb::GetStatsRequest* request,
                                                   pb::GetStatsResponse* response) {
  const auto call = calls_.Start();
  if (call->is_claimed()) return call.get();  // stopping
  const absl::Status admitted = Admit(*context, Call::kGetStats).status();
  absl::StatusOr<StatsQuery> query = admitted.ok() ? FromProto(*request) : admitted;
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

grpc::ServerUnaryReactor* ControlService::ListAudit(grpc::CallbackServerContext* context,
                                                    const pb::ListAuditRequest* request,
                                                    pb::ListAuditResponse* response) {
  const auto call = calls_.Start();
  if (call->is_claimed()) return call.get();  // stopping
  const absl::Status admitted = Admit(*context, Call::kListAudit).status();
  absl::StatusOr<control::AuditQuery> query = admitted.ok() ? FromProto(*request) : admitted;
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

// ---- Shutdown ----

namespace {

// Who asks by `request`, for the audit.
control::ApplyRequest AskedBy(const pb::ShutdownRequest& request, const control::Caller& caller) {
  return {.comment = request.comment(), .request_id = request.request_id(), .caller = caller};
}

}  // namespace

absl::Status ControlService::StartShutdown(const pb::ShutdownRequest& request,
                                           const control::Caller& caller,
                                           pb::ShutdownResponse* response) {
  if (surroundings_.shutdown == nullptr) return RpcNotBuilt("Shutdown");
  if (absl::Status status = CheckWrite(request); !status.ok()) return status;
  auto query = FromProto(request);
  if (!query.ok()) return query.status();
  if (query->is_cancel) return CancelError(surroundings_.shutdown->is_on());
  const bool was_on = surroundings_.shutdown->is_on();
  const absl::Time deadline = surroundings_.shutdown->TurnOn(query->drain_timeout, absl::Now());
  if (!was_on) {
    controller_->NoteDone(
        AskedBy(request, caller),
        fmt::format("shutdown: sessions may end within {}",
                    absl::FormatDuration(surroundings_.shutdown->drain_timeout())));
    spdlog::info("{} at {} asked for the end of the daemon{}{}", caller.principal, caller.peer,
                 query->comment.empty() ? "" : ": ", query->comment);
  }
  response->set_state(pb::SERVER_STATE_DRAINING);
  *response->mutable_deadline() = ToProto(deadline);
  return absl::OkStatus();
}

grpc::ServerUnaryReactor* ControlService::Shutdown(grpc::CallbackServerContext* context,
                                                   const pb::ShutdownRequest* request,
                                                   pb::ShutdownResponse* response) {
  const auto call = calls_.Start();
  if (call->is_claimed()) return call.get();  // stopping
  const auto caller = Admit(*context, Call::kShutdown);
  if (!caller.ok()) {
    if (const auto known = Identify(*context)) {
      controller_->NoteRejected(AskedBy(*request, *known), caller.status());
    }
    if (call->Claim()) call->Finish(ToGrpcStatus(caller.status()));
    return call.get();
  }
  // The count first: once the switch is on, the daemon may be gone before control answers.
  controller_->GetInfo(
      [this, call, response, request = *request, caller = *caller](const control::Info& info) {
        if (!call->Claim()) return;
        response->set_active_connections(info.active_connections);
        const absl::Status status = StartShutdown(request, caller, response);
        if (!status.ok()) controller_->NoteRejected(AskedBy(request, caller), status);
        call->Finish(ToGrpcStatus(status));
      });
  return call.get();
}

}  // namespace sidelb::rpc
