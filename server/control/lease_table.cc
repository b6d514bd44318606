#include "server/control/lease_table.h"

#include <algorithm>

#include "fmt/format.h"
#include "server/control/errors.h"
#include "server/control/validate.h"

namespace sidelb::control {
namespace {

absl::Status Superseded(const std::string& owner, const std::string& holder,
                        std::string_view current, std::string_view advice) {
  const std::string why =
      current.empty()
          ? fmt::format("owner '{}' has no lease; {}", owner, advice)
          : fmt::format("the lease of owner '{}' is held by '{}'; {}", owner, current, advice);
  return MakeError(absl::StatusCode::kAborted, fmt::format("holder: '{}': {}", holder, why),
                   {.reason = "SESSION_SUPERSEDED",
                    .metadata = {{"owner", owner}, {"holder", std::string(current)}},
                    .violations = {{"holder", why}}});
}

std::string_view WordOf(ExpiryAction action) {
  switch (action) {
    case ExpiryAction::kDrain:
      return "drained";
    case ExpiryAction::kRemove:
      return "removed";
    case ExpiryAction::kKeep:
      return "kept";
  }
  return "";
}

}  // namespace

bool LeaseTable::Renewal::is_news() const {
  if (is_released) return before.has_value();
  return !before.has_value() || before->is_expired || before->holder != after.holder ||
         before->ttl != after.ttl || before->grace != after.grace ||
         before->on_expiry != after.on_expiry;
}

Lease LeaseTable::ToLease(const std::string& owner, const Entry& entry) {
  return {.owner = owner,
          .holder = entry.holder,
          .ttl = entry.ttl,
          .grace = entry.effective_grace(),
          .on_expiry = entry.on_expiry,
          .expire_time = entry.is_expired ? entry.renewed_time : entry.renewed_time + entry.ttl,
          .is_expired = entry.is_expired};
}

absl::Status LeaseTable::CheckTerms(const RenewLeaseRequest& request, bool is_new) const {
  if (request.holder.empty()) {
    return BadField("holder", "empty; allowed: a text that names this one holder");
  }
  if (auto status = ValidateText(request.holder, "holder"); !status.ok()) return status;
  const std::string allowed = fmt::format("allowed: {} to {}", absl::FormatDuration(min_ttl_),
                                          absl::FormatDuration(kMaxTtl));
  const auto out_of_range = [&](const std::string& value) {
    const std::string why = fmt::format("{}; {}", value, allowed);
    return MakeError(absl::StatusCode::kInvalidArgument, fmt::format("ttl: {}", why),
                     {.reason = "TTL_RANGE", .violations = {{"ttl", why}}});
  };
  if (!request.ttl.has_value() && is_new) return out_of_range("not set");
  if (request.ttl.has_value() && (*request.ttl < min_ttl_ || *request.ttl > kMaxTtl)) {
    return out_of_range(absl::FormatDuration(*request.ttl));
  }
  if (request.grace.has_value() &&
      (*request.grace < absl::ZeroDuration() || *request.grace > kMaxTtl)) {
    return BadField("grace",
                    fmt::format("{}; allowed: 0s to {}", absl::FormatDuration(*request.grace),
                                absl::FormatDuration(kMaxTtl)));
  }
  return absl::OkStatus();
}

absl::StatusOr<LeaseTable::Renewal> LeaseTable::Renew(const RenewLeaseRequest& request,
                                                      absl::Time now) {
  if (auto status = ValidateApiOwner(request.owner); !status.ok()) return status;
  const auto found = entries_.find(request.owner);
  const bool is_new = found == entries_.end();
  if (!request.release) {
    if (auto status = CheckTerms(request, is_new); !status.ok()) return status;
  }
  if (is_new && request.release) {
    return Renewal{.after = {.owner = request.owner}, .is_released = true};
  }
  if (!is_new && found->second.holder != request.holder && !request.take_over) {
    return Superseded(request.owner, request.holder, found->second.holder,
                      "only with take_over may another holder act");
  }
  AddAge(now);
  Renewal renewal;
  if (!is_new) {
    renewal.before = ToLease(found->first, found->second);
    renewal.takes_back = found->second.is_done;
    renewal.is_released = request.release;
  }
  if (request.release) {
    renewal.after = ToLease(found->first, found->second);
    const bool was_lapsed = found->second.lapsed_at.has_value();
    entries_.erase(found);
    renewal.is_thawed = was_lapsed && Thaw();
    return renewal;
  }
  Entry& entry = entries_[request.owner];
  entry.holder = request.holder;
  if (request.ttl.has_value()) entry.ttl = *request.ttl;
  if (request.grace.has_value()) entry.grace = request.grace;
  if (request.on_expiry.has_value()) entry.on_expiry = *request.on_expiry;
  const bool was_lapsed = entry.lapsed_at.has_value();
  entry.age = absl::ZeroDuration();
  entry.renewed_time = now;
  entry.is_expired = entry.is_done = false;
  entry.lapsed_at.reset();
  renewal.after = ToLease(request.owner, entry);
  renewal.is_thawed = was_lapsed && Thaw();
  return renewal;
}

absl::Status LeaseTable::CheckHolder(const std::string& owner, const std::string& holder) const {
  const auto found = entries_.find(owner);
  const std::string current = found == entries_.end() ? "" : found->second.holder;
  if (!current.empty() && current == holder) return absl::OkStatus();
  return Superseded(owner, holder, current,
                    current.empty() ? "RenewLease creates one" : "this holder was superseded");
}

LeaseTable::Renewal LeaseTable::Touch(const std::string& owner, absl::Time now) {
  return *Renew({.owner = owner, .holder = entries_.at(owner).holder}, now);
}

void LeaseTable::Restore(const std::vector<Lease>& leases, absl::Time now) {
  for (const Lease& lease : leases) {
    entries_[lease.owner] = {.holder = lease.holder,
                             .ttl = lease.ttl,
                             .grace = lease.grace,
                             .on_expiry = lease.on_expiry,
                             .renewed_time = now};
  }
}

absl::Duration LeaseTable::AddAge(absl::Time now) {
  const absl::Duration step = std::clamp(now - last_, absl::ZeroDuration(), kMaxStep);
  last_ = now;
  clock_ += step;
  for (auto& [owner, entry] : entries_) {
    entry.age += step;
    // What was not lived through moves the end as well.
    if (!entry.is_expired) entry.renewed_time = now - entry.age;
  }
  return step;
}

bool LeaseTable::LapsedTogether(const std::string& owner, const Entry& entry) const {
  return std::any_of(entries_.begin(), entries_.end(), [&](const auto& other) {
    return other.first != owner && other.second.lapsed_at.has_value() &&
           *entry.lapsed_at - *other.second.lapsed_at <= std::max(entry.ttl, other.second.ttl);
  });
}

LeaseTable::Due LeaseTable::Advance(absl::Time now) {
  AddAge(now);
  Due due;
  for (auto& [owner, entry] : entries_) {
    if (entry.is_expired || entry.age < entry.ttl) continue;
    entry.is_expired = true;
    entry.renewed_time = now;
    entry.lapsed_at = clock_;
    due.lapsed.push_back(ToLease(owner, entry));
  }
  for (const Lease& lease : due.lapsed) {
    if (is_frozen() || !LapsedTogether(lease.owner, entries_.at(lease.owner))) continue;
    frozen_since_ = now;
    due.has_frozen = true;
  }
  if (is_frozen()) return due;
  for (auto& [owner, entry] : entries_) {
    if (!entry.is_expired || entry.is_done || entry.age < entry.ttl + entry.effective_grace()) {
      continue;
    }
    entry.is_done = true;
    due.actions.emplace_back(owner, entry.on_expiry);
  }
  return due;
}

bool LeaseTable::Thaw() {
  if (!is_frozen()) return false;
  frozen_since_.reset();
  for (auto& [owner, entry] : entries_) {
    entry.lapsed_at.reset();
    if (entry.is_expired && !entry.is_done) entry.age = entry.ttl;
  }
  return true;
}

bool LeaseTable::needs_ticks() const {
  return std::any_of(entries_.begin(), entries_.end(),
                     [](const auto& entry) { return !entry.second.is_done; });
}

std::vector<Lease> LeaseTable::List() const {
  std::vector<Lease> leases;
  for (const auto& [owner, entry] : entries_) leases.push_back(ToLease(owner, entry));
  return leases;
}

std::vector<Condition> LeaseTable::GetConditions() const {
  std::vector<Condition> conditions;
  std::vector<std::string> frozen;
  for (const auto& [owner, entry] : entries_) {
    if (!entry.is_expired) continue;
    std::string fate = fmt::format("its claims are {}", WordOf(entry.on_expiry));
    if (!entry.is_done && is_frozen()) {
      fate = "nothing is done to its claims: LEASES_FROZEN";
      frozen.push_back(owner);
    } else if (!entry.is_done) {
      const absl::Duration left = entry.ttl + entry.effective_grace() - entry.age;
      fate += fmt::format(" in {}", absl::FormatDuration(absl::Ceil(left, absl::Seconds(1))));
    }
    conditions.push_back(
        {.code = "LEASE_EXPIRED",
         .detail = fmt::format("{}: holder '{}' has not renewed for {}; {}", owner, entry.holder,
                               absl::FormatDuration(entry.ttl), fate),
         .since = entry.renewed_time});
  }
  if (is_frozen()) {
    conditions.push_back({.code = "LEASES_FROZEN",
                          .detail = fmt::format(
                              "leases of several owners lapsed together, which is more likely a "
                              "fault of the network or of this host: nothing is done to the claims "
                              "of {} until one of them is renewed or released",
                              fmt::join(frozen, ", ")),
                          .since = *frozen_since_});
  }
  return conditions;
}

}  // namespace sidelb::control
