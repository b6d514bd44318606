// The part of ControlLoop that makes changes durable, repeats answers and keeps the audit.
//
// With a store, an Apply passes these: accepted on top of the candidate (all that was accepted
// before), its sockets bound -> in pending_ -> written with all that came meanwhile, as one group
// -> committed, in order. When a group fails, all that is pending is dropped with it, for each was
// made on top of the one before.
//
// Providers do not wait: their changes are committed at once, what is pending is made anew on top
// of them, and their rows follow with the next group (unsaved_).
#include <future>
#include <utility>

#include "fmt/format.h"
#include "server/control/control_loop.h"
#include "server/control/errors.h"
#include "spdlog/spdlog.h"

namespace sidelb::control {
namespace {

constexpr absl::Duration kSaveAgain = absl::Seconds(1);  // what nobody waits for
constexpr absl::Duration kRetryListeners = absl::Seconds(1);
constexpr size_t kMaxAsked = 200;  // bytes of a summary of what was refused

// A change that was made anew has sockets only for the listeners that it named before.
absl::Status CheckSockets(const Change& before, const Change& after) {
  for (const auto& [name, op] : after.listeners) {
    if (before.listeners.contains(name)) continue;
    return MakeError(
        absl::StatusCode::kAborted,
        fmt::format("listener '{}' was changed meanwhile; send the request again", name),
        {.reason = "REVISION_MISMATCH",
         .metadata = {{"current", std::to_string(after.next.revision - 1)}}});
  }
  return absl::OkStatus();
}

absl::Status NotStored(const absl::Status& status) {
  return MakeError(absl::StatusCode::kUnavailable,
                   fmt::format("the change cannot be made durable and was dropped: {}; traffic "
                               "goes on as before",
                               std::string(status.message())),
                   {.reason = "STORE_UNAVAILABLE"});
}

// At most `most` bytes of `text`, whole characters, and what is no UTF-8 as '?': a store and the
// API take nothing else for text.
std::string CleanText(std::string_view text, size_t most) {
  std::string clean;
  for (size_t i = 0; i < text.size();) {
    const auto first = static_cast<unsigned char>(text[i]);
    const size_t size = first < 0x80                    ? 1
                        : first >= 0xC2 && first < 0xE0 ? 2
                        : first >= 0xE0 && first < 0xF0 ? 3
                        : first >= 0xF0 && first < 0xF5 ? 4
                                                        : 0;
    const std::string_view rest = size == 0 ? "" : text.substr(i + 1, size - 1);
    bool is_good = size > 0 && rest.size() == size - 1;
    for (const char c : rest) is_good = is_good && (static_cast<unsigned char>(c) & 0xC0) == 0x80;
    if (is_good && size == 3) {  // neither too long nor a surrogate
      const auto second = static_cast<unsigned char>(rest[0]);
      is_good = !(first == 0xE0 && second < 0xA0) && !(first == 0xED && second >= 0xA0);
    } else if (is_good && size == 4) {
      const auto second = static_cast<unsigned char>(rest[0]);
      is_good = !(first == 0xF0 && second < 0x90) && !(first == 0xF4 && second >= 0x90);
    }
    const std::string_view next = is_good ? text.substr(i, size) : "?";
    if (clean.size() + next.size() > most) break;
    clean += next;
    i += is_good ? size : 1;
  }
  return clean;
}

void LogAudit(const AuditEntry& entry) {
  static const std::string name = "audit";
  if (const auto logger = spdlog::get(name)) {
    if (logger->should_log(spdlog::level::info)) logger->info("{}", AuditLine(entry));
  } else if (spdlog::should_log(spdlog::level::info)) {
    spdlog::info("audit {}", AuditLine(entry));
  }
}

}  // namespace

// ---- Start ----

void ControlLoop::Load(const StoredState& stored) {
  const absl::Time now = Now();
  store_conditions_ = stored.conditions;
  for (const AuditEntry& entry : stored.audit) audit_.Add(entry);
  for (const StoredRequest& request : stored.requests) requests_.Add({.request = request}, now);
  if (stored.revision == 0) return;
  leases_.Restore(stored.leases, now);
  const Change change = RestoreChange(stored, now);
  LiveState::Openings openings = live_->BindStored(change.next, now);
  live_->Commit(DesiredState(), change, std::move(openings), now);
  desired_ = change.next;
  applied_revision_ = 0;  // until the shards have it
  stored_revision_ = stored.revision;
  spdlog::info("loaded {} listeners, {} pools and {} backends at revision {}",
               desired_.listeners.size(), desired_.pools.size(), desired_.backend_count,
               desired_.revision);
  if (provider_) provider_->OnPools(desired_, change.pools);
  if (!live_->FailedListeners().empty()) next_listener_retry_ = now + kRetryListeners;
  FollowProbes();
  PublishNext();
  RecordEvents("store");
  WakeBy(NextTick(now));
}

void ControlLoop::RetryListeners(absl::Time now) {
  if (now < next_listener_retry_ || state_ == ServerState::kDraining) return;
  const bool is_one_left = live_->RetryListeners(desired_);
  next_listener_retry_ = is_one_left ? now + kRetryListeners : absl::InfiniteFuture();
}

absl::Time ControlLoop::NextStoreTick() const {
  const bool saves = store_ && !is_store_closed_ && !is_writing_ && has_unsaved();
  const absl::Time retry =
      state_ == ServerState::kDraining ? absl::InfiniteFuture() : next_listener_retry_;
  return saves ? std::min(next_save_, retry) : retry;
}

// ---- Repetitions ----

// Whether `request` was one, and has its answer or waits for that of the first.
bool ControlLoop::AnswerRepeat(const ApplyRequest& request, Controller::ApplyCallback& callback) {
  if (request.request_id.empty() || request.validate_only) return false;
  const absl::Time now = Now();
  const auto is_other = [&](uint64_t payload) {
    if (payload == request.payload) return false;
    const absl::Status status = RequestIdReused(request.request_id);
    NoteRejected(request, status);
    callback(status);
    return true;
  };
  if (const RequestLog::Entry* known = requests_.Find(request.request_id, now)) {
    if (is_other(known->request.payload)) return true;
    Waiting waiting{.response = known->request.response,
                    .wait = request.wait,
                    .deadline = std::min(now + request.wait_timeout.value_or(kDefaultWait),
                                         FromWallClock(request.answer_by)),
                    .leaving = known->leaving,
                    .callback = std::move(callback)};
    waiting.response.replayed = true;
    Wait(std::move(waiting), now);
    return true;
  }
  for (Pending& one : pending_) {
    if (one.request.request_id != request.request_id) continue;
    if (is_other(one.request.payload)) return true;
    one.waiters.push_back({.wait = request.wait,
                           .wait_timeout = request.wait_timeout,
                           .answer_by = request.answer_by,
                           .is_repeat = true,
                           .callback = std::move(callback)});
    return true;
  }
  return false;
}

// ---- Audit ----

AuditEntry ControlLoop::EntryOf(const Pending& one) const {
  const ApplyRequest& request = one.request;
  return {.number = one.audit_number,
          .revision = one.change.has_changed ? one.change.next.revision : desired_.revision,
          .time = one.time,
          .principal = CleanText(request.caller.principal, kMaxText),
          .peer = CleanText(request.caller.peer, kMaxText),
          .owner = request.owner,
          .request_id = request.request_id,
          .summary = one.change.has_changed ? fmt::format("{}", fmt::join(one.change.summary, "; "))
                                            : "nothing to change",
          .comment = request.comment};
}

void ControlLoop::NoteRejected(const ApplyRequest& request, const absl::Status& status) {
  Note(request, std::string(status.message()), status);
}

void ControlLoop::NoteDone(const ApplyRequest& request, std::string_view summary) {
  Note(request, summary, absl::OkStatus());
}

// Of what is no accepted Apply: those are noted with what they changed.
void ControlLoop::Note(const ApplyRequest& request, std::string_view summary,
                       const absl::Status& status) {
  const auto details = GetErrorDetails(status);
  AuditEntry entry{.number = audit_.TakeNumber(),
                   .revision = desired_.revision,
                   .time = Now(),
                   .principal = CleanText(request.caller.principal, kMaxText),
                   .peer = CleanText(request.caller.peer, kMaxText),
                   .owner = CleanText(request.owner, kMaxText),
                   .request_id = CleanText(request.request_id, kMaxAsked),
                   .summary = CleanText(summary, kMaxAsked),
                   .comment = CleanText(request.comment, kMaxText),
                   .code = static_cast<int>(status.code()),
                   .error_reason = details.has_value() ? details->reason : ""};
  LogAudit(entry);
  if (store_) unsaved_audit_.push_back(entry);
  if (unsaved_audit_.size() > 2 * AuditLog::kMaxKept) {  // while the disk hangs
    unsaved_audit_.erase(unsaved_audit_.begin(), unsaved_audit_.end() - AuditLog::kMaxKept);
  }
  audit_.Add(std::move(entry));
  WriteNext();
}

// Notes a change that is committed, and the answer to it.
void ControlLoop::Keep(const Pending& one, const ApplyResponse& response, absl::Time now) {
  const ApplyRequest& request = one.request;
  if (request.is_provider) return;  // no caller's
  AuditEntry entry = EntryOf(one);
  entry.revision = response.revision;
  const bool is_stored = entry.number != 0;
  if (!is_stored) entry.number = audit_.TakeNumber();
  LogAudit(entry);
  if (store_ && (!is_stored || one.was_remade)) unsaved_audit_.push_back(entry);
  audit_.Add(std::move(entry));
  if (request.request_id.empty()) return;
  StoredRequest stored{
      .number = one.request_number != 0 ? one.request_number : requests_.TakeNumber(),
      .id = request.request_id,
      .payload = request.payload,
      .time = one.time,
      .response = response};
  if (store_ && one.was_remade) unsaved_requests_.push_back(stored);
  requests_.Add({.request = std::move(stored), .leaving = one.change.leaving}, now);
}

// ---- The store ----

// The state with all that was accepted, durable or not.
const DesiredState& ControlLoop::candidate() const {
  return pending_.empty() ? desired_ : pending_.back().change.next;
}

bool ControlLoop::HasPendingListeners() const {
  for (const Pending& one : pending_) {
    if (!one.change.listeners.empty()) return true;
  }
  return false;
}

// What changes nothing goes at once, unless it would overtake what it is on top of.
bool ControlLoop::MustBeStored(const ApplyRequest& request, const Change& change) const {
  return store_ && !request.is_provider &&
         (change.has_changed || !request.request_id.empty() || !pending_.empty());
}

// What an import says in the name of `static` is not kept: arguments and the file of --config say
// it at each start.
void ControlLoop::WarnUnstored(const ApplyRequest& request, Change* change) const {
  if (!store_ || !change->has_changed) return;
  size_t count = 0;
  for (const Op& op : request.ops) {
    const auto* import = std::get_if<ImportState>(&op.op);
    if (import == nullptr) continue;
    for (const ImportedBackend& backend : import->backends) {
      for (const ImportedClaim& claim : backend.claims) count += claim.owner == "static";
    }
  }
  if (count == 0) return;
  change->warnings.push_back(
      fmt::format("{} of static last until the daemon ends: arguments or --config bring them",
                  count == 1 ? "a claim" : fmt::format("{} claims", count)));
}

// Makes what is pending anew, on top of a change that did not wait. What the store is writing goes
// on: its rows differ by revisions at most, and are written again.
void ControlLoop::RemakePending() {
  std::deque<Pending> pending = std::exchange(pending_, {});
  std::vector<std::pair<Pending, absl::Status>> failed;
  if (in_flight_ > 0) unsaved_.Add(writing_);
  size_t in_flight = std::exchange(in_flight_, 0);
  for (Pending& one : pending) {
    const bool is_in_flight = in_flight > 0;
    if (is_in_flight) --in_flight;
    absl::StatusOr<Change> change = ApplyBatch(candidate(), one.request, Now());
    absl::Status status = change.ok() ? CheckSockets(one.change, *change) : change.status();
    std::vector<PoolLoss> losses;
    if (status.ok()) losses = ReadLosses(candidate(), *change, *live_);
    // What is under it may serve less than when it passed.
    if (status.ok() && !one.request.allow_mass_removal) {
      status = guard_.Check(one.request.owner, losses, Now());
    }
    if (!status.ok()) {
      if (is_in_flight) withdrawn_.emplace_back(one.request_number, one.audit_number);
      failed.emplace_back(std::move(one), std::move(status));
      continue;
    }
    WarnUnstored(one.request, &*change);
    change->impacts = ToImpacts(losses);
    one.change = *std::move(change);
    one.was_remade = is_in_flight;
    if (is_in_flight) ++in_flight_;
    pending_.push_back(std::move(one));
  }
  for (auto& [one, status] : failed) Fail(&one, status);
}

// Gives the store what is pending and unsaved, as one group, unless it is writing.
void ControlLoop::WriteNext() {
  if (!store_ || is_writing_ || is_store_closed_) return;
  if (unsaved_audit_.size() > AuditLog::kMaxKept) {  // the store keeps no more
    unsaved_audit_.erase(unsaved_audit_.begin(), unsaved_audit_.end() - AuditLog::kMaxKept);
  }
  if (pending_.empty() && !has_unsaved()) return;
  const absl::Time now = Now();
  if (pending_.empty() && now < next_save_) return WakeBy(next_save_);
  is_writing_ = true;
  in_flight_ = pending_.size();
  writing_ = std::exchange(unsaved_, {});
  writing_audit_ = std::exchange(unsaved_audit_, {});
  StoreGroup group{.oldest_request = requests_.oldest(), .oldest_audit = audit_.oldest()};
  group.audit = writing_audit_;
  group.requests = unsaved_requests_;
  writing_requests_ = unsaved_requests_.size();
  for (const auto& [request, entry] : withdrawn_) {
    group.withdrawn_requests.push_back(request);
    group.withdrawn_audit.push_back(entry);
  }
  writing_withdrawn_ = withdrawn_.size();
  writes_leases_ = std::exchange(has_new_leases_, false);
  if (writes_leases_) group.leases = leases_.List();
  const DesiredState* before = &desired_;
  uint64_t revision = desired_.revision;
  for (Pending& one : pending_) {
    AddKeys(*before, one.change, &writing_);
    before = &one.change.next;
    if (one.change.has_changed) revision = one.change.next.revision;
    one.audit_number = audit_.TakeNumber();
    group.audit.push_back(EntryOf(one));
    group.audit.back().revision = revision;
    if (one.request.request_id.empty()) continue;
    one.request_number = requests_.TakeNumber();
    group.requests.push_back({.number = one.request_number,
                              .id = one.request.request_id,
                              .payload = one.request.payload,
                              .time = one.time,
                              .response = {.revision = revision,
                                           .results = one.change.results,
                                           .warnings = one.change.warnings,
                                           .impacts = one.change.impacts}});
  }
  AddRows(candidate(), writing_, &group);
  writing_revision_ = group.revision;
  store_->Write(std::move(group), [this](absl::Status status) {
    Post([this, status = std::move(status)] { OnStored(status); });
  });
}

void ControlLoop::OnStored(const absl::Status& status) {
  is_writing_ = false;
  if (status.ok()) {
    if (store_failing_.has_value()) spdlog::info("the state is durable again");
    store_failing_.reset();
    next_save_ = absl::InfinitePast();
    stored_revision_ = writing_revision_;
    unsaved_requests_.erase(unsaved_requests_.begin(),
                            unsaved_requests_.begin() + static_cast<long>(writing_requests_));
    withdrawn_.erase(withdrawn_.begin(),
                     withdrawn_.begin() + static_cast<long>(writing_withdrawn_));
    while (in_flight_ > 0) {
      --in_flight_;
      Pending one = std::move(pending_.front());
      pending_.pop_front();
      Commit(std::move(one));
    }
    if (state_ == ServerState::kDraining) {
      live_->CloseListeners();
      PublishNext();
    }
  } else {
    const std::string why(status.message());
    if (!store_failing_.has_value()) {
      spdlog::error("the state cannot be made durable, changes are refused: {}", why);
      store_failing_ = {.code = "STORE_FAILING", .since = Now()};
    }
    store_failing_->detail = why;
    next_save_ = Now() + kSaveAgain;
    // Whatever became of these rows, the next group brings them to what is in force.
    unsaved_.Add(std::exchange(writing_, {}));
    unsaved_audit_.insert(unsaved_audit_.begin(), writing_audit_.begin(), writing_audit_.end());
    has_new_leases_ = has_new_leases_ || writes_leases_;
    FailPending(NotStored(status));
  }
  RunDeferred();
  WriteNext();
  if (on_flushed_ && !is_writing_) {
    is_store_closed_ = true;
    std::exchange(on_flushed_, nullptr)();
  }
}

void ControlLoop::Fail(Pending* one, const absl::Status& status) {
  one->openings.clear();  // closes its sockets
  NoteRejected(one->request, status);
  for (Waiter& waiter : one->waiters) waiter.callback(status);
}

void ControlLoop::FailPending(const absl::Status& status) {
  in_flight_ = 0;
  std::deque<Pending> pending = std::exchange(pending_, {});
  for (Pending& one : pending) Fail(&one, status);
}

void ControlLoop::AddStoreInfo(Info* info) const {
  info->has_store = store_ != nullptr;
  info->is_store_working = !store_failing_.has_value();
  info->stored_revision = stored_revision_;
  info->conditions.insert(info->conditions.end(), store_conditions_.begin(),
                          store_conditions_.end());
  if (store_failing_.has_value()) info->conditions.push_back(*store_failing_);
}

// Refuses changes from now on, and returns when what was accepted is durable or failed.
void ControlLoop::FlushStore() {
  std::promise<void> flushed;
  const bool posted = Post([&] {
    state_ = ServerState::kDraining;
    RunDeferred();
    WriteNext();
    is_store_closed_ = !is_writing_;
    if (is_store_closed_) return flushed.set_value();
    on_flushed_ = [&] { flushed.set_value(); };
  });
  if (posted) flushed.get_future().wait();
  store_->Stop();
}

}  // namespace sidelb::control
