#include "server/control/control_loop.h"

#include <pthread.h>

#include <algorithm>
#include <random>
#include <utility>

#include "absl/strings/str_join.h"
#include "fmt/format.h"
#include "server/control/errors.h"
#include "server/control/state_view.h"
#include "spdlog/spdlog.h"

namespace sidelb::control {
namespace {

constexpr auto kTick = std::chrono::milliseconds(50);
constexpr auto kOutlierTick = std::chrono::milliseconds(100);
constexpr absl::Duration kDefaultWait = absl::Seconds(5);

std::string MakeEpoch() {
  std::random_device random;
  return fmt::format("{:08x}{:08x}", random(), random());
}

// How long a DRAINED wait may take unless the caller says otherwise: the longest drain and 5 s.
absl::Duration DrainedWait(const Change& change, const std::vector<BackendKey>& leaving) {
  absl::Duration longest = absl::ZeroDuration();
  for (const BackendKey& key : leaving) {
    std::optional<absl::Duration> drain;
    if (const auto removal = change.removals.find(key); removal != change.removals.end()) {
      drain = removal->second.timeout;
    } else if (const BackendObject* backend = change.next.FindBackend(key.first, key.second)) {
      if (backend->override.has_value() && backend->override->drain.has_value()) {
        drain = backend->override->drain->timeout;
      }
    }
    longest = std::max(longest, drain.value_or(absl::Seconds(30)));
  }
  return longest + kDefaultWait;
}

}  // namespace

absl::Status ControlLoop::Stopping() {
  return MakeError(absl::StatusCode::kUnavailable, "the server is draining: no more changes",
                   {.reason = "SERVER_DRAINING"});
}

absl::StatusOr<std::unique_ptr<ControlLoop>> ControlLoop::Start(
    const Controller::Options& options) {
  std::unique_ptr<ControlLoop> loop(new ControlLoop);
  ControlLoop* const self = loop.get();
  absl::StatusOr<std::unique_ptr<DataPlane>> data_plane = DataPlane::Start(
      {.shards = options.shards,
       .max_connections = options.max_connections,
       .control = loop->io_.get_executor(),
       .on_applied = [self](uint64_t seq, uint64_t revision, std::vector<ListenError> errors) {
         self->OnApplied(seq, revision, std::move(errors));
       }});
  if (!data_plane.ok()) return data_plane.status();
  loop->data_plane_ = *std::move(data_plane);
  loop->live_ = std::make_unique<LiveState>(*loop->data_plane_);
  absl::StatusOr<std::unique_ptr<HealthChecker>> health =
      HealthChecker::Start({.control = loop->io_.get_executor(),
                            .on_reports = [self](std::vector<HealthReport> reports) {
                              self->OnReports(std::move(reports));
                            }});
  if (!health.ok()) return health.status();
  loop->health_ = *std::move(health);
  loop->state_ = ServerState::kServing;
  loop->thread_ = std::thread([self] { self->io_.run(); });
  pthread_setname_np(loop->thread_.native_handle(), "slb-control");
  return loop;
}

ControlLoop::ControlLoop()
    : work_(boost::asio::make_work_guard(io_)),
      timer_(io_),
      epoch_(MakeEpoch()),
      start_time_(absl::Now()) {
  // So that an expected revision of an earlier life does not match by chance.
  desired_.revision = static_cast<uint64_t>(absl::ToUnixMillis(start_time_));
  applied_revision_ = desired_.revision;
}

ControlLoop::~ControlLoop() { Stop(); }

bool ControlLoop::Post(std::function<void()> function) {
  if (is_stopped_) return false;
  boost::asio::post(io_, std::move(function));
  return true;
}

void ControlLoop::Stop() {
  if (!thread_.joinable()) return;
  health_->Stop();
  data_plane_->Stop();
  is_stopped_ = true;
  boost::asio::post(io_, [this] {
    FailAll();
    timer_.cancel();
    work_.reset();
  });
  thread_.join();
  // What was posted between the two lines above still has to be answered.
  io_.restart();
  io_.poll();
  FailAll();
}

void ControlLoop::FailAll() {
  state_ = ServerState::kDraining;
  for (Waiting& waiting : std::exchange(waiting_, {})) waiting.callback(waiting.response);
  for (WaitingRead& read : std::exchange(waiting_reads_, {})) read.callback(Stopping());
  if (auto draining = std::exchange(draining_, std::nullopt)) {
    draining->callback(data_plane_->active_sessions());
  }
}

// ---- Writes ----

void ControlLoop::Apply(ApplyRequest request, Controller::ApplyCallback callback) {
  if (state_ == ServerState::kDraining) return callback(Stopping());
  absl::StatusOr<Change> change = ApplyBatch(desired_, request);
  if (!change.ok()) return callback(change.status());
  absl::StatusOr<LiveState::Openings> openings = live_->Bind(*change);
  if (!openings.ok()) return callback(openings.status());

  const absl::Time now = absl::Now();
  Waiting waiting{.wait = request.wait, .callback = std::move(callback)};
  waiting.response.results = change->results;
  waiting.response.warnings = change->warnings;
  waiting.response.revision = desired_.revision;
  if (request.validate_only) return waiting.callback(waiting.response);
  if (change->has_changed) {
    waiting.leaving = live_->Commit(desired_, *change, *std::move(openings), now);
    waiting.response.revision = change->next.revision;
    spdlog::info("revision {} by {}: {}{}", change->next.revision, request.owner,
                 fmt::join(change->summary, "; "),
                 request.comment.empty() ? "" : fmt::format(" ({})", request.comment));
  }
  const absl::Duration patience = request.wait_timeout.value_or(
      request.wait == WaitFor::kDrained ? DrainedWait(*change, waiting.leaving) : kDefaultWait);
  waiting.deadline = std::min(now + patience, request.answer_by);
  if (change->has_changed) desired_ = std::move(change->next);
  waiting_.push_back(std::move(waiting));
  FollowProbes();
  PublishNext();
  CheckWaiting(now);
}

void ControlLoop::PublishNext() {
  if (is_publishing_) return;
  if (!live_->has_pending()) {
    applied_revision_ = desired_.revision;
    return;
  }
  is_publishing_ = true;
  data_plane_->Publish(live_->Take(++seq_, desired_));
}

// Tells the health checker what the last change means for it.
void ControlLoop::FollowProbes() {
  if (auto gone = live_->TakeProbesToRemove(); !gone.empty()) health_->Remove(std::move(gone));
  if (auto put = live_->TakeProbesToPut(); !put.empty()) health_->Put(std::move(put));
  if (live_->CheckOutliers(desired_, absl::Now())) ScheduleTick(kOutlierTick);
}

void ControlLoop::OnReports(std::vector<HealthReport> reports) {
  live_->OnReports(desired_, std::move(reports), absl::Now());
  PublishNext();
}

void ControlLoop::OnApplied(uint64_t seq, uint64_t revision, std::vector<ListenError> errors) {
  is_publishing_ = false;
  applied_revision_ = revision;
  live_->OnAcknowledged(seq, errors);
  for (const auto& [name, error] : live_->ListenerErrors()) {
    if (errors.empty()) break;
    spdlog::error("listener {}: {}", name, error);
  }
  PublishNext();
  Tick();
}

// Whether `waiting` was answered.
bool ControlLoop::Advance(Waiting* waiting, absl::Time now) {
  ApplyResponse& response = waiting->response;
  response.reached = WaitFor::kCommitted;
  response.pending = 0;
  bool is_done = waiting->wait == WaitFor::kCommitted;
  if (applied_revision_ >= response.revision) {
    response.reached = WaitFor::kApplied;
    is_done = is_done || waiting->wait == WaitFor::kApplied;
    if (waiting->wait == WaitFor::kDrained) is_done = CheckLeaving(waiting);
  } else {
    response.pending = static_cast<uint32_t>(data_plane_->shard_count());
  }
  if (!is_done && now < waiting->deadline) return false;
  waiting->callback(std::move(response));
  return true;
}

// Of a DRAINED wait whose change is applied: whether it is over.
bool ControlLoop::CheckLeaving(Waiting* waiting) {
  std::erase_if(waiting->leaving, [&](const BackendKey& key) {
    const LiveBackend* live = live_->FindBackend(key);
    if (live == nullptr) return true;
    const BackendObject* object = desired_.FindBackend(key.first, key.second);
    const bool is_back = live->removing == nullptr && object != nullptr &&
                         EffectiveAdminState(object->effective) == AdminState::kEnabled;
    if (is_back) {
      waiting->response.warnings.push_back(fmt::format("{}/{}: taken back into service meanwhile",
                                                       key.first, key.second.ToString()));
      return true;
    }
    const uint32_t active = live->backend->load.active.load(std::memory_order_acquire);
    waiting->response.pending += active;
    return active == 0;
  });
  if (!waiting->leaving.empty()) return false;
  waiting->response.reached = WaitFor::kDrained;
  return true;
}

void ControlLoop::CheckWaiting(absl::Time now) {
  for (auto it = waiting_.begin(); it != waiting_.end();) {
    it = Advance(&*it, now) ? waiting_.erase(it) : std::next(it);
  }
  for (auto it = waiting_reads_.begin(); it != waiting_reads_.end();) {
    if (desired_.revision >= it->min_revision) {
      it->callback(BuildView(desired_, *live_, it->filter));
    } else if (now >= it->deadline) {
      it->callback(MakeError(absl::StatusCode::kOutOfRange,
                             fmt::format("min_revision: {} is not reached, the revision is {}",
                                         it->min_revision, desired_.revision),
                             {.reason = "FUTURE_REVISION",
                              .metadata = {{"current", std::to_string(desired_.revision)}}}));
    } else {
      ++it;
      continue;
    }
    it = waiting_reads_.erase(it);
  }
  if (!waiting_.empty() || !waiting_reads_.empty()) ScheduleTick(kTick);
}

// ---- Time ----

void ControlLoop::ScheduleTick(std::chrono::milliseconds wait) {
  if (is_tick_scheduled_ || is_stopped_) return;
  is_tick_scheduled_ = true;
  timer_.expires_after(wait);
  timer_.async_wait([this](const boost::system::error_code& error) {
    is_tick_scheduled_ = false;
    if (!error) Tick();
  });
}

void ControlLoop::Tick() {
  const absl::Time now = absl::Now();
  std::vector<BackendKey> freed;
  if (live_->Tick(now, &freed)) ScheduleTick(kTick);
  FollowProbes();
  PublishNext();
  CheckWaiting(now);
  if (!draining_.has_value()) return;
  const uint64_t left = data_plane_->active_sessions();
  const bool is_closed = !is_publishing_ && !live_->has_pending();
  if ((left == 0 && is_closed) || now >= draining_->deadline) {
    std::exchange(draining_, std::nullopt)->callback(left);
  } else {
    ScheduleTick(kTick);
  }
}

void ControlLoop::Drain(absl::Duration timeout, std::function<void(uint64_t)> callback) {
  state_ = ServerState::kDraining;
  live_->CloseListeners();
  PublishNext();
  draining_ = Draining{.deadline = absl::Now() + timeout, .callback = std::move(callback)};
  Tick();
}

// ---- Reads ----

void ControlLoop::GetState(Filter filter, uint64_t min_revision, absl::Time deadline,
                           Controller::StateCallback callback) {
  waiting_reads_.push_back({.filter = std::move(filter),
                            .min_revision = min_revision,
                            .deadline = deadline,
                            .callback = std::move(callback)});
  CheckWaiting(absl::Now());
}

Info ControlLoop::GetInfo() const {
  Info info;
  info.epoch = epoch_;
  info.revision = desired_.revision;
  info.applied_revision = applied_revision_;
  info.shards = static_cast<uint32_t>(data_plane_->shard_count());
  info.start_time = start_time_;
  info.state = state_;
  info.active_connections = data_plane_->active_sessions();
  info.max_connections = data_plane_->max_connections();
  for (const auto& [name, error] : live_->ListenerErrors()) {
    info.conditions.push_back({.code = "LISTENER_FAILED",
                               .detail = fmt::format("{}: {}", name, error),
                               .since = start_time_});
  }
  const FaultCounters faults = data_plane_->faults();
  const std::pair<const char*, uint64_t> counts[] = {{"EMFILE", faults.emfile},
                                                     {"EADDRNOTAVAIL", faults.eaddrnotavail},
                                                     {"ENOBUFS", faults.enobufs},
                                                     {"ENETUNREACH", faults.enetunreach},
                                                     {"OTHER", faults.other}};
  for (const auto& [code, count] : counts) {
    if (count > 0) info.faults.emplace_back(code, count);
  }
  return info;
}

}  // namespace sidelb::control
