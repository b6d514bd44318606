// The part of ControlLoop that has to do with leases, and with overrides that end: what changes
// without a batch.
#include <algorithm>
#include <random>
#include <utility>

#include "fmt/format.h"
#include "server/control/control_loop.h"
#include "spdlog/spdlog.h"

namespace sidelb::control {
namespace {

// A third of the ttl, up to a tenth earlier, so that many holders do not come at once.
absl::Duration RenewAfter(absl::Duration ttl) {
  static thread_local std::minstd_rand random{std::random_device()()};
  return ttl / 3 * (1 - std::uniform_real_distribution<double>(0, 0.1)(random));
}

LeaseEffect EffectOf(ExpiryAction action) {
  switch (action) {
    case ExpiryAction::kDrain:
      return LeaseEffect::kDrain;
    case ExpiryAction::kRemove:
      return LeaseEffect::kRemove;
    case ExpiryAction::kKeep:
      return LeaseEffect::kKeep;
  }
  return LeaseEffect::kKeep;
}

// Who asks by `request`, for the audit.
ApplyRequest AskedBy(const RenewLeaseRequest& request) {
  return {.owner = request.owner, .caller = request.caller};
}

// What a renewal changed, in short words.
std::string WordsOf(const LeaseTable::Renewal& renewal) {
  const Lease& after = renewal.after;
  if (renewal.is_released) return fmt::format("lease released by {}", after.holder);
  const bool is_taken = renewal.before.has_value() && renewal.before->holder != after.holder;
  return fmt::format(
      "lease {} by {} for {}{}", is_taken ? "taken over" : "held", after.holder,
      absl::FormatDuration(after.ttl),
      renewal.before.has_value() && renewal.before->is_expired ? ", after it had lapsed" : "");
}

}  // namespace

absl::StatusOr<LeaseTable::Renewal> ControlLoop::Renew(const RenewLeaseRequest& request,
                                                       absl::Time now) {
  if (state_ == ServerState::kDraining) return Stopping();
  return leases_.Renew(request, now);
}

absl::StatusOr<RenewLeaseResponse> ControlLoop::RenewLease(const RenewLeaseRequest& request) {
  const absl::Time now = Now();
  const auto renewal = Renew(request, now);
  if (!renewal.ok()) {
    NoteRejected(AskedBy(request), renewal.status());
    return renewal.status();
  }
  OnRenewal(*renewal, now);
  if (renewal->is_news()) NoteDone(AskedBy(request), WordsOf(*renewal));
  RecordEvents();
  WakeBy(NextTick(now));
  RenewLeaseResponse response{.lease = renewal->after, .revision = desired_.revision};
  response.lease.claims = CountClaims(request.owner);
  if (!renewal->is_released) response.renew_after = RenewAfter(response.lease.ttl);
  return response;
}

// Whether the holder that `request` names may act; that it does renews its lease.
absl::Status ControlLoop::HoldLease(const ApplyRequest& request, absl::Time now) {
  if (request.holder.empty()) return absl::OkStatus();
  absl::Status status = leases_.CheckHolder(request.owner, request.holder);
  if (status.ok() && !request.validate_only) OnRenewal(leases_.Touch(request.owner, now), now);
  return status;
}

void ControlLoop::OnRenewal(const LeaseTable::Renewal& renewal, absl::Time now) {
  const Lease& after = renewal.after;
  const auto with_claims = [this](Lease lease) {
    lease.claims = CountClaims(lease.owner);
    return lease;
  };
  if (renewal.takes_back) ActOnLease(after.owner, LeaseEffect::kTakeBack, now);
  if (renewal.is_thawed)
    spdlog::info("leases: {} is back, the others get their grace", after.owner);
  if (!renewal.is_news()) return;
  if (store_) {
    has_new_leases_ = true;
    WriteNext();
  }
  if (renewal.is_released) {
    spdlog::info("lease of {}: released by {}", after.owner, after.holder);
    tracker_.NoteLease(with_claims(*renewal.before), std::nullopt);
    return;
  }
  spdlog::info(
      "lease of {}: held by {} for {}{}", after.owner, after.holder,
      absl::FormatDuration(after.ttl),
      renewal.before.has_value() && renewal.before->is_expired ? ", after it had lapsed" : "");
  tracker_.NoteLease(renewal.before, with_claims(after));
}

void ControlLoop::AdvanceLeases(absl::Time now) {
  if (!leases_.needs_ticks() || state_ == ServerState::kDraining) return;
  const LeaseTable::Due due = leases_.Advance(now);
  for (const Lease& lease : due.lapsed) {
    spdlog::warn("lease of {}: {} has not renewed for {}", lease.owner, lease.holder,
                 absl::FormatDuration(lease.ttl));
    Lease told = lease;
    told.claims = CountClaims(lease.owner);
    Lease before = told;
    before.is_expired = false;
    tracker_.NoteLease(std::move(before), std::move(told));
  }
  if (due.has_frozen) {
    spdlog::warn(
        "leases of several owners lapsed together: nothing is done to their claims until "
        "one of them is renewed or released");
  }
  for (const auto& [owner, action] : due.actions) {
    const uint64_t before = desired_.revision;
    ActOnLease(owner, EffectOf(action), now);
    constexpr const char* kWords[] = {"drained", "removed", "kept"};
    NoteDone({.owner = owner, .caller = {.principal = "server"}},
             fmt::format("lease has lapsed: claims {}{}", kWords[static_cast<size_t>(action)],
                         desired_.revision == before ? ", there are none" : ""));
  }
}

void ControlLoop::ActOnLease(const std::string& owner, LeaseEffect effect, absl::Time now) {
  CommitOwn(ApplyLease(desired_, owner, effect, now), fmt::format("the lease of {}", owner), now);
}

void ControlLoop::AdvanceOverrides(absl::Time now) {
  if (next_expiry_.has_value() && *next_expiry_ > now) return;
  CommitOwn(ExpireOverrides(desired_, now), "time", now);
  next_expiry_ = NextExpiry(desired_);
}

// Of a change that is about to be taken over.
void ControlLoop::NoteExpiries(const Change& change) {
  if (!next_expiry_.has_value()) return;
  for (const auto& [pool, address] : change.backends) {
    const BackendObject* backend = change.next.FindBackend(pool, address);
    if (backend == nullptr || !backend->override.has_value()) continue;
    next_expiry_ = std::min(*next_expiry_, backend->override->expire_time.value_or(*next_expiry_));
  }
  for (const std::string& name : change.pools) {
    const DesiredPool* pool = change.next.FindPool(name);
    if (pool == nullptr) continue;
    for (const auto& [address, absent] : pool->absent) {
      next_expiry_ = std::min(*next_expiry_, absent.until);
    }
  }
}

// Takes over what no batch asked for. Whoever called publishes and records events.
void ControlLoop::CommitOwn(Change change, std::string_view who, absl::Time now) {
  if (!change.has_changed) return;
  if (store_) AddKeys(desired_, change, &unsaved_);
  live_->Commit(desired_, change, {}, now);
  spdlog::info("revision {} by {}: {}", change.next.revision, who, fmt::join(change.summary, "; "));
  desired_ = std::move(change.next);
  if (provider_) provider_->OnPools(desired_, change.pools);
  FollowProbes();
  PublishNext();
  CheckReads(now);
  WakeBy(live_->next_deadline());
  // What waits for the disk is made anew on top of it.
  if (!pending_.empty()) RemakePending();
  WriteNext();
}

uint32_t ControlLoop::CountClaims(std::string_view owner) const {
  uint32_t count = 0;
  for (const auto& [name, pool] : desired_.pools) {
    for (const auto& [address, backend] : pool->backends) {
      count += static_cast<uint32_t>(
          std::count_if(backend->claims.begin(), backend->claims.end(),
                        [&](const Claim& claim) { return claim.owner == owner; }));
    }
  }
  return count;
}

std::vector<Lease> ControlLoop::ListLeases() const {
  std::vector<Lease> leases = leases_.List();
  for (Lease& lease : leases) lease.claims = CountClaims(lease.owner);
  return leases;
}

}  // namespace sidelb::control
