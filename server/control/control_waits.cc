// The part of ControlLoop that answers those who wait: for a change to be applied or drained, for a
// revision, for the end of a shutdown's drain.
#include <algorithm>
#include <utility>

#include "fmt/format.h"
#include "server/control/control_loop.h"
#include "server/control/errors.h"
#include "server/control/state_view.h"

namespace sidelb::control {

std::string ControlLoop::NameOf(const BackendKey& key) {
  return fmt::format("{}/{}", key.first, key.second.ToString());
}

void ControlLoop::Wait(Waiting waiting, absl::Time now) {
  if (Advance(&waiting, now)) return;
  WakeBy(waiting.wait == WaitFor::kDrained ? std::min(waiting.deadline, now + kWatchedTick)
                                           : waiting.deadline);
  waiting_.push_back(std::move(waiting));
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
  } else if (!is_done) {
    response.pending = static_cast<uint32_t>(data_plane_->shard_count());
  }
  if (!is_done && now < waiting->deadline) return false;
  waiting->callback(std::move(response));
  return true;
}

// Of a DRAINED wait whose change is applied: whether it is over.
bool ControlLoop::CheckLeaving(Waiting* waiting) {
  ApplyResponse& response = waiting->response;
  uint64_t left = 0;
  for (auto it = waiting->leaving.begin(); it != waiting->leaving.end();) {
    const BackendKey& key = *it;
    const LiveBackend* live = live_->FindBackend(key);
    const BackendObject* object = desired_.FindBackend(key.first, key.second);
    const uint32_t active =
        live == nullptr ? 0 : live->backend->load.active.load(std::memory_order_acquire);
    const bool is_back =
        object != nullptr && EffectiveAdminState(object->effective) == AdminState::kEnabled;
    if (is_back) {
      waiting->was_taken_back = true;
      waiting->sessions_taken_back += active;
      response.warnings.push_back(
          fmt::format("{}: taken back into service meanwhile", NameOf(key)));
    } else if (active > 0) {
      left += active;
      ++it;
      continue;
    }
    it = waiting->leaving.erase(it);
  }
  response.pending = static_cast<uint32_t>(left + waiting->sessions_taken_back);
  if (!waiting->leaving.empty()) return false;
  if (!waiting->was_taken_back) response.reached = WaitFor::kDrained;
  return true;
}

void ControlLoop::CheckWaiting(absl::Time now) {
  for (auto it = waiting_.begin(); it != waiting_.end();) {
    it = Advance(&*it, now) ? waiting_.erase(it) : std::next(it);
  }
}

// Whether `read` was answered.
bool ControlLoop::Advance(WaitingRead* read, absl::Time now) {
  if (desired_.revision >= read->min_revision) {
    auto view = BuildView(desired_, *live_, ObjectFilter(read->filter));
    view->position = events_.head();
    read->callback(std::move(view));
    return true;
  }
  if (now < read->deadline) return false;
  read->callback(MakeError(
      absl::StatusCode::kOutOfRange,
      fmt::format("min_revision: {} is not reached, the revision is {}", read->min_revision,
                  desired_.revision),
      {.reason = "FUTURE_REVISION", .metadata = {{"current", std::to_string(desired_.revision)}}}));
  return true;
}

void ControlLoop::CheckReads(absl::Time now) {
  for (auto it = waiting_reads_.begin(); it != waiting_reads_.end();) {
    it = Advance(&*it, now) ? waiting_reads_.erase(it) : std::next(it);
  }
}

void ControlLoop::CheckDraining(absl::Time now) {
  const uint64_t left = data_plane_->active_sessions();
  // What the store is writing is answered before the end.
  const bool is_closed = !is_publishing_ && !live_->has_pending() && pending_.empty();
  for (auto it = drains_.begin(); it != drains_.end();) {
    if ((left == 0 && is_closed) || now >= it->deadline) {
      it->callback(left);
      it = drains_.erase(it);
    } else {
      ++it;
    }
  }
}

}  // namespace sidelb::control
