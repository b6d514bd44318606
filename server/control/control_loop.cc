#include "server/control/control_loop.h"

#include <pthread.h>

#include <algorithm>
#include <future>
#include <random>
#include <utility>

#include "fmt/format.h"
#include "server/control/config_digest.h"
#include "server/control/errors.h"
#include "server/control/state_view.h"
#include "server/control/stats_view.h"
#include "spdlog/spdlog.h"

namespace sidelb::control {
namespace {

// How often active counts are read while nobody waits for them.
constexpr absl::Duration kUnwatchedTick = absl::Milliseconds(250);
constexpr absl::Duration kOutlierTick = absl::Milliseconds(100);
constexpr absl::Duration kLongestSleep = absl::Hours(1);
constexpr absl::Duration kBetweenLargePools = absl::Milliseconds(200);
constexpr absl::Duration kLongestDrainWait = absl::Hours(1);  // where no deadline ends it

std::string MakeEpoch() {
  std::random_device random;
  return fmt::format("{:08x}{:08x}", random(), random());
}

// How long one backend of `change` may drain.
absl::Duration DrainTime(const Change& change, const BackendKey& key) {
  DrainSpec drain{.timeout = absl::Seconds(30)};
  if (const auto removal = change.removals.find(key); removal != change.removals.end()) {
    drain = removal->second;
  } else if (const BackendObject* backend = change.next.FindBackend(key.first, key.second)) {
    if (EffectiveAdminState(backend->effective) == AdminState::kDisabled) {
      return absl::ZeroDuration();
    }
    drain = backend->override.has_value() ? backend->override->drain.value_or(DrainSpec{})
                                          : DrainSpec{};
  }
  if (drain.on_timeout == DrainAction::kKeep) return kLongestDrainWait;
  return drain.timeout.value_or(kLongestDrainWait);
}

// How long a DRAINED wait may take unless the caller says otherwise: the longest drain and `more`.
absl::Duration DrainedWait(const Change& change, absl::Duration more) {
  absl::Duration longest = absl::ZeroDuration();
  for (const BackendKey& key : change.leaving) longest = std::max(longest, DrainTime(change, key));
  return longest + more;
}

}  // namespace

absl::Status ControlLoop::Stopping() {
  return MakeError(absl::StatusCode::kUnavailable, "the server is draining: no more changes",
                   {.reason = "SERVER_DRAINING"});
}

absl::StatusOr<std::unique_ptr<ControlLoop>> ControlLoop::Start(
    const Controller::Options& options) {
  std::unique_ptr<ControlLoop> loop(new ControlLoop(options));
  ControlLoop* const self = loop.get();
  absl::StatusOr<std::unique_ptr<DataPlane>> data_plane = DataPlane::Start(
      {.shards = options.shards,
       .max_connections = options.max_connections,
       .busy_poll = options.busy_poll,
       .control = loop->io_.get_executor(),
       .on_applied = [self](uint64_t seq, uint64_t revision, std::vector<ListenError> errors) {
         self->OnApplied(seq, revision, errors);
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
  if (options.make_provider) loop->provider_ = options.make_provider(loop->MakePort());
  loop->store_ = options.store;
  if (options.stored) loop->Load(*options.stored);
  loop->state_ = ServerState::kServing;
  loop->thread_ = std::thread([self] { self->io_.run(); });
  pthread_setname_np(loop->thread_.native_handle(), "slb-control");
  return loop;
}

ControlLoop::ControlLoop(const Controller::Options& options)
    : work_(boost::asio::make_work_guard(io_)),
      timer_(io_),
      leases_(options.min_lease_ttl),
      events_(options.event_log_bytes),
      epoch_(MakeEpoch()),
      start_time_(absl::Now()),
      steady_start_(std::chrono::steady_clock::now()) {
  // So that an expected revision of an earlier life does not match by chance.
  desired_.revision = static_cast<uint64_t>(absl::ToUnixMillis(start_time_));
  applied_revision_ = desired_.revision;
}

ControlLoop::~ControlLoop() { Stop(); }

ProviderPort ControlLoop::MakePort() {
  return {
      .executor = io_.get_executor(),
      .now = [this] { return Now(); },
      .apply = [this](ApplyRequest request,
                      Controller::ApplyCallback callback) { Apply(std::move(request), callback); },
      .read_pool =
          [this](const std::string& pool, const std::string& owner) {
            return ReadPool(desired_, *live_, pool, owner);
          },
      .connect_failures =
          [this](const std::string& pool) { return ConnectFailures(*live_, pool); }};
}

bool ControlLoop::Post(std::function<void()> function) {
  const std::lock_guard lock(post_mutex_);
  if (is_closed_) return false;
  boost::asio::post(io_, std::move(function));
  return true;
}

bool ControlLoop::PostOrRun(std::function<void()> function) {
  if (!io_.get_executor().running_in_this_thread()) return Post(std::move(function));
  function();
  return true;
}

void ControlLoop::Stop() {
  if (!thread_.joinable()) return;
  if (store_) FlushStore();
  health_->Stop();
  // Only the control thread makes the builder: it is there, or never will be.
  {
    std::promise<void> is_built;
    if (Post([&] {
          if (builder_) builder_->join();
          is_built.set_value();
        })) {
      is_built.get_future().wait();
    }
  }
  // First the shards: what waits may still see how they end.
  data_plane_->Stop();
  {
    const std::lock_guard lock(post_mutex_);
    is_closed_ = true;
  }
  // Behind all that was posted before.
  boost::asio::post(io_, [this] {
    is_stopping_ = true;
    if (provider_) provider_->Stop();
    FailAll();
    timer_.cancel();
    work_.reset();
  });
  thread_.join();
}

void ControlLoop::FailAll() {
  state_ = ServerState::kDraining;
  FailPending(Stopping());
  for (Deferred& deferred : std::exchange(deferred_, {})) deferred.callback(Stopping());
  const absl::Time now = Now();
  for (Waiting& waiting : std::exchange(waiting_, {})) {
    waiting.deadline = now;
    Advance(&waiting, now);
  }
  for (WaitingRead& read : std::exchange(waiting_reads_, {})) read.callback(Stopping());
  for (Draining& draining : std::exchange(drains_, {})) {
    draining.callback(data_plane_->active_sessions());
  }
}

absl::Time ControlLoop::Now() const {
  return start_time_ + absl::FromChrono(std::chrono::steady_clock::now() - steady_start_);
}

absl::Time ControlLoop::FromWallClock(absl::Time deadline) const {
  return Now() + (deadline - absl::Now());
}

// ---- Writes ----

void ControlLoop::Apply(ApplyRequest request, Controller::ApplyCallback callback) {
  // A provider does not line up: what is deferred may wait for the disk.
  const bool lines_up = !deferred_.empty() && !request.is_provider;
  if (lines_up || !TryApply(request, callback)) {
    deferred_.push_back({std::move(request), std::move(callback)});
  }
}

bool ControlLoop::TryApply(ApplyRequest& request, Controller::ApplyCallback& callback) {
  // The status goes to the caller whole: its thread is the last to hold it.
  const auto refuse = [&](absl::Status status) {
    if (!request.validate_only && !request.is_provider) NoteRejected(request, status);
    callback(std::move(status));
    return true;
  };
  if (state_ == ServerState::kDraining) return refuse(Stopping());
  if (auto status = ValidateRequestId(request.request_id); !status.ok()) {
    return refuse(std::move(status));
  }
  if (AnswerRepeat(request, callback)) return true;
  const absl::Time now = Now();
  if (auto status = HoldLease(request, now); !status.ok()) {
    return refuse(std::move(status));
  }
  // A provider does not wait for the disk; what does is made anew on top of its change.
  const DesiredState& base = request.is_provider ? desired_ : candidate();
  absl::StatusOr<Change> change = ApplyBatch(base, request, now);
  if (!change.ok()) return refuse(std::move(change).status());
  WarnUnstored(request, &*change);
  // Sockets are bound for one change after the other.
  if (!change->listeners.empty() && HasPendingListeners()) return false;
  if (live_->MustWaitToBind(*change)) return false;  // PublishNext() is under way
  const std::vector<PoolLoss> losses = ReadLosses(base, *change, *live_);
  const bool is_guarded = !request.is_provider && !request.allow_mass_removal;
  if (auto status = is_guarded ? guard_.Check(request.owner, losses, now) : absl::OkStatus();
      !status.ok()) {
    return refuse(std::move(status));
  }
  change->impacts = ToImpacts(losses);
  absl::StatusOr<LiveState::Openings> openings = live_->Bind(*change);
  if (!openings.ok()) return refuse(std::move(openings).status());
  if (request.validate_only) {
    callback(ApplyResponse{.revision = desired_.revision,
                           .results = std::move(change->results),
                           .warnings = std::move(change->warnings),
                           .impacts = std::move(change->impacts)});
    return true;
  }
  guard_.Note(request.owner, losses,
              request.allow_mass_removal ? Guard::Consent::kGiven : Guard::Consent::kNone, now);
  Pending one{.request = std::move(request),
              .change = *std::move(change),
              .openings = *std::move(openings),
              .time = Now()};
  one.waiters.push_back({.wait = one.request.wait,
                         .wait_timeout = one.request.wait_timeout,
                         .answer_by = one.request.answer_by,
                         .callback = std::move(callback)});
  if (MustBeStored(one.request, one.change)) {
    pending_.push_back(std::move(one));
    WriteNext();
    return true;
  }
  const bool has_changed = one.change.has_changed;
  if (store_ && has_changed) AddKeys(desired_, one.change, &unsaved_);
  Commit(std::move(one));
  if (has_changed && !pending_.empty()) RemakePending();
  WriteNext();
  return true;
}

void ControlLoop::Commit(Pending one) {
  const absl::Time now = Now();
  Change& change = one.change;
  const absl::Duration drained_wait = DrainedWait(change, kDefaultWait);
  const bool has_changed = change.has_changed;
  if (has_changed) {
    live_->Commit(desired_, change, std::move(one.openings), now);
    NoteExpiries(change);
    spdlog::info("revision {} by {}: {}{}", change.next.revision, one.request.owner,
                 fmt::join(change.summary, "; "),
                 one.request.comment.empty() ? "" : fmt::format(" ({})", one.request.comment));
    desired_ = std::move(change.next);
    if (provider_) provider_->OnPools(desired_, change.pools);
  }
  const ApplyResponse response{.revision = desired_.revision,
                               .results = std::move(change.results),
                               .warnings = std::move(change.warnings),
                               .impacts = std::move(change.impacts)};
  Keep(one, response, now);
  FollowProbes();
  PublishNext();
  // What was observed meanwhile is not the doing of an Apply that changed nothing.
  RecordEvents(has_changed ? one.request.owner : "");
  for (Waiter& waiter : one.waiters) {
    const absl::Duration patience = waiter.wait_timeout.value_or(
        waiter.wait == WaitFor::kDrained ? drained_wait : kDefaultWait);
    Waiting waiting{.response = response,
                    .wait = waiter.wait,
                    .deadline = std::min(now + patience, FromWallClock(waiter.answer_by)),
                    .leaving = change.leaving,
                    .callback = std::move(waiter.callback)};
    waiting.response.replayed = waiter.is_repeat;
    Wait(std::move(waiting), now);
  }
  if (!has_changed) return;
  CheckReads(now);
  WakeBy(std::min(live_->next_deadline(), next_expiry_.value_or(absl::InfiniteFuture())));
}

// Called again for what has to wait for sockets to be closed.
void ControlLoop::RunDeferred() {
  while (!deferred_.empty() && TryApply(deferred_.front().request, deferred_.front().callback)) {
    deferred_.pop_front();
  }
}

void ControlLoop::PublishNext() {
  if (is_publishing_) return;
  if (!live_->has_pending()) {
    applied_revision_ = desired_.revision;
    return;
  }
  const absl::Time now = Now();
  // Changes that come faster than large tables should be built go into one.
  if (now < large_built_ + kBetweenLargePools && live_->has_pending_large()) {
    WakeBy(large_built_ + kBetweenLargePools);
    return;
  }
  is_publishing_ = true;
  LiveState::Taken taken = live_->Take(++seq_, desired_, now);
  if (taken.unfinished.empty()) {
    data_plane_->Publish(std::move(taken.publication));
    return;
  }
  large_built_ = now;
  FinishElsewhere(std::move(taken));
}

// Makes the pickers that take long on another thread, so that control can answer meanwhile. What
// comes meanwhile waits for the next publication, as it does for an acknowledgement.
void ControlLoop::FinishElsewhere(LiveState::Taken taken) {
  if (!builder_) builder_.emplace(1);
  const auto shared = std::make_shared<LiveState::Taken>(std::move(taken));
  boost::asio::post(*builder_, [this, shared] {
    for (const auto& snapshot : shared->unfinished) snapshot->MakePicker();
    Post([this, shared] { data_plane_->Publish(std::move(shared->publication)); });
  });
}

// Tells the health checker what the last change means for it.
void ControlLoop::FollowProbes() {
  if (auto gone = live_->TakeProbesToRemove(); !gone.empty()) health_->Remove(std::move(gone));
  if (auto put = live_->TakeProbesToPut(); !put.empty()) health_->Put(std::move(put));
  watches_outliers_ = live_->CheckOutliers(desired_, Now());
}

void ControlLoop::OnReports(std::vector<HealthReport> reports) {
  live_->OnReports(desired_, std::move(reports), Now());
  PublishNext();
  RecordEvents();
}

void ControlLoop::OnApplied(uint64_t seq, uint64_t revision,
                            const std::vector<ListenError>& errors) {
  is_publishing_ = false;
  applied_revision_ = revision;
  live_->OnAcknowledged(seq, errors, Now());
  if (!errors.empty()) {
    for (const auto& [name, listener] : live_->FailedListeners()) {
      spdlog::error("listener {} on {}: {}", name, listener->bound_address.ToString(),
                    listener->error);
    }
  }
  RunDeferred();
  Tick();
}

void ControlLoop::RecordEvents(const std::string& actor) {
  tracker_.Record(desired_, *live_, actor, Now());
  WakeBy(tracker_.next_look());
}

// ---- Time ----

// When Tick() has something to do, unless an acknowledgement comes before.
absl::Time ControlLoop::NextTick(absl::Time now) const {
  absl::Time next = std::min({live_->next_deadline(), tracker_.next_look(), NextStoreTick(),
                              next_expiry_.value_or(absl::InfiniteFuture())});
  if (leases_.needs_ticks()) next = std::min(next, now + LeaseTable::kTick);
  bool is_watched = !drains_.empty();
  for (const Waiting& waiting : waiting_) {
    next = std::min(next, waiting.deadline);
    is_watched = is_watched || waiting.wait == WaitFor::kDrained;
  }
  for (const WaitingRead& read : waiting_reads_) next = std::min(next, read.deadline);
  for (const Draining& draining : drains_) next = std::min(next, draining.deadline);
  if (is_watched) {
    next = std::min(next, now + kWatchedTick);
  } else if (watches_outliers_) {
    next = std::min(next, now + kOutlierTick);
  } else if (live_->needs_tick()) {
    next = std::min(next, now + kUnwatchedTick);
  }
  return next;
}

// Sets the timer, unless it is set for an earlier time.
void ControlLoop::WakeBy(absl::Time time) {
  // The timer may be about to fire while the loop ends: setting it anew would keep the loop alive.
  if (time >= tick_time_ || is_stopping_) return;
  tick_time_ = time;
  const absl::Duration rest = std::clamp(time - Now(), absl::ZeroDuration(), kLongestSleep);
  timer_.expires_after(absl::ToChronoNanoseconds(rest));
  timer_.async_wait([this](const boost::system::error_code& error) {
    if (error) return;  // set anew, or stopping
    tick_time_ = absl::InfiniteFuture();
    live_->RepairIndexes();
    Tick();
  });
}

void ControlLoop::Tick() {
  const absl::Time now = Now();
  ReportDrains(live_->Tick(now));
  AdvanceLeases(now);
  AdvanceOverrides(now);
  RetryListeners(now);
  WriteNext();
  FollowProbes();
  PublishNext();
  RecordEvents();
  CheckWaiting(now);
  CheckReads(now);
  CheckDraining(now);
  WakeBy(NextTick(now));
}

void ControlLoop::ReportDrains(const LiveState::DrainEvents& events) const {
  for (const auto& [key, sessions] : events.resets) {
    spdlog::info("backend {}: the drain deadline has passed, {} sessions are reset", NameOf(key),
                 sessions);
  }
  for (const BackendKey& key : events.ended) {
    spdlog::info("backend {}: its last session has ended", NameOf(key));
  }
}

void ControlLoop::Drain(absl::Duration timeout, std::function<void(uint64_t)> callback) {
  state_ = ServerState::kDraining;
  if (provider_) provider_->Stop();
  RunDeferred();  // refuses them
  live_->CloseListeners();
  drains_.push_back({.deadline = Now() + timeout, .callback = std::move(callback)});
  Tick();
}

// ---- Reads ----

void ControlLoop::GetState(Filter filter, uint64_t min_revision, absl::Time deadline,
                           Controller::StateCallback callback) {
  WaitingRead read{.filter = std::move(filter),
                   .min_revision = min_revision,
                   .deadline = FromWallClock(deadline),
                   .callback = std::move(callback)};
  if (Advance(&read, Now())) return;
  WakeBy(read.deadline);
  waiting_reads_.push_back(std::move(read));
}

Subscription ControlLoop::Subscribe(const Filter& selected, bool with_view) const {
  const ObjectFilter filter(selected);
  Subscription subscription{.position = events_.head(), .revision = desired_.revision};
  const bool needs_digest = !filter.is_all() && !filter.depends_on_state();
  std::shared_ptr<StateView> view;
  if (with_view || needs_digest) {
    view = BuildView(desired_, *live_, filter);
    view->position = subscription.position;
  }
  if (needs_digest) {
    subscription.digest = DigestOf(*view);
  } else if (filter.is_all()) {
    subscription.digest = tracker_.digest();
  }
  if (with_view) subscription.view = std::move(view);
  return subscription;
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
  for (const auto& [name, listener] : live_->FailedListeners()) {
    info.conditions.push_back({.code = "LISTENER_FAILED",
                               .detail = fmt::format("{}: {}", name, listener->error),
                               .since = listener->error_time});
  }
  for (const auto& [code, condition] : conditions_) info.conditions.push_back(condition);
  AddStoreInfo(&info);
  if (provider_) {
    for (Condition& condition : provider_->GetConditions()) {
      info.conditions.push_back(std::move(condition));
    }
  }
  info.leases = ListLeases();
  for (Condition& condition : leases_.GetConditions()) {
    info.conditions.push_back(std::move(condition));
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

void ControlLoop::SetCondition(const std::string& code, const std::optional<std::string>& detail) {
  if (!detail) {
    conditions_.erase(code);
    return;
  }
  Condition& condition =
      conditions_.try_emplace(code, Condition{.code = code, .since = Now()}).first->second;
  condition.detail = *detail;
}

Stats ControlLoop::GetStats(const Filter& filter, bool reset_peaks) const {
  Stats stats{.time = Now(), .since = start_time_, .rows = BuildStats(desired_, *live_, filter)};
  if (reset_peaks) ResetPeaks(*live_, stats.rows);
  return stats;
}

}  // namespace sidelb::control
