#include "server/control/controller.h"

#include <utility>

#include "server/control/control_loop.h"
#include "server/control/errors.h"

namespace sidelb::control {
namespace {

absl::Status Stopped() {
  return MakeError(absl::StatusCode::kUnavailable, "the server has stopped",
                   {.reason = "SERVER_DRAINING"});
}

}  // namespace

absl::StatusOr<std::unique_ptr<Controller>> Controller::Start(const Options& options) {
  absl::StatusOr<std::unique_ptr<ControlLoop>> loop = ControlLoop::Start(options);
  if (!loop.ok()) return loop.status();
  return std::unique_ptr<Controller>(new Controller(*std::move(loop)));
}

Controller::Controller(std::unique_ptr<ControlLoop> loop) : loop_(std::move(loop)) {}
Controller::~Controller() { Stop(); }
void Controller::Stop() { loop_->Stop(); }

void Controller::Apply(ApplyRequest request, ApplyCallback callback) {
  const bool posted =
      loop_->Post([loop = loop_.get(), request = std::move(request), callback]() mutable {
        loop->Apply(std::move(request), callback);
      });
  if (!posted) callback(Stopped());
}

void Controller::NoteRejected(ApplyRequest request, absl::Status status) {
  loop_->PostOrRun([loop = loop_.get(), request = std::move(request), status = std::move(status)] {
    loop->NoteRejected(request, status);
  });
}

void Controller::NoteDone(ApplyRequest request, std::string summary) {
  loop_->PostOrRun([loop = loop_.get(), request = std::move(request),
                    summary = std::move(summary)] { loop->NoteDone(request, summary); });
}

void Controller::ListAudit(AuditQuery query, AuditCallback callback) {
  const bool posted = loop_->Post([loop = loop_.get(), query = std::move(query), callback] {
    callback(loop->ListAudit(query));
  });
  if (!posted) callback(Stopped());
}

void Controller::GetState(Filter filter, uint64_t min_revision, absl::Time deadline,
                          StateCallback callback) {
  const bool posted = loop_->Post(
      [loop = loop_.get(), filter = std::move(filter), min_revision, deadline, callback]() mutable {
        loop->GetState(std::move(filter), min_revision, deadline, callback);
      });
  if (!posted) callback(Stopped());
}

void Controller::GetInfo(InfoCallback callback) {
  const bool posted = loop_->Post([loop = loop_.get(), callback] { callback(loop->GetInfo()); });
  if (!posted) callback(Info{.state = ServerState::kDraining});
}

void Controller::SetCondition(std::string code, std::optional<std::string> detail) {
  loop_->Post([loop = loop_.get(), code = std::move(code), detail = std::move(detail)] {
    loop->SetCondition(code, detail);
  });
}

void Controller::RenewLease(RenewLeaseRequest request, LeaseCallback callback) {
  const bool posted = loop_->Post([loop = loop_.get(), request = std::move(request), callback] {
    callback(loop->RenewLease(request));
  });
  if (!posted) callback(Stopped());
}

void Controller::AskShards(std::function<void(bool)> callback) {
  const bool posted = loop_->Post(
      [loop = loop_.get(), callback] { loop->AskShards([callback] { callback(true); }); });
  if (!posted) callback(false);
}

void Controller::GetStats(Filter filter, bool reset_peaks, StatsCallback callback) {
  const bool posted = loop_->Post([loop = loop_.get(), filter = std::move(filter), reset_peaks,
                                   callback] { callback(loop->GetStats(filter, reset_peaks)); });
  if (!posted) callback(Stopped());
}

void Controller::Subscribe(Filter filter, bool with_view, SubscribeCallback callback) {
  const bool posted = loop_->Post([loop = loop_.get(), filter = std::move(filter), with_view,
                                   callback] { callback(loop->Subscribe(filter, with_view)); });
  if (!posted) callback(std::nullopt);
}

EventLog& Controller::events() { return loop_->events(); }

void Controller::Drain(absl::Duration timeout,
                       std::function<void(uint64_t sessions_left)> callback) {
  const bool posted =
      loop_->Post([loop = loop_.get(), timeout, callback] { loop->Drain(timeout, callback); });
  if (!posted) callback(0);
}

}  // namespace sidelb::control
