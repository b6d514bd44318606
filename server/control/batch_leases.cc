// What time does to the desired state: leases that lapse or are taken up again, overrides that end.
#include <algorithm>
#include <utility>

#include "fmt/format.h"
#include "server/control/batch_impl.h"

namespace sidelb::control {
namespace {

std::string_view WordOf(LeaseEffect effect) {
  switch (effect) {
    case LeaseEffect::kDrain:
      return "draining";
    case LeaseEffect::kRemove:
      return "removed";
    case LeaseEffect::kKeep:
      return "kept";
    case LeaseEffect::kTakeBack:
      return "taken back into service";
  }
  return "";
}

}  // namespace

Change ApplyLease(const DesiredState& state, const std::string& owner, LeaseEffect effect,
                  absl::Time now) {
  const ApplyRequest request{.owner = owner};
  return Batch(state, request, now).RunLease(effect);
}

Change ExpireOverrides(const DesiredState& state, absl::Time now) {
  const ApplyRequest request;
  return Batch(state, request, now).RunExpiry();
}

absl::Time NextExpiry(const DesiredState& state) {
  absl::Time next = absl::InfiniteFuture();
  for (const auto& [name, pool] : state.pools) {
    for (const auto& [address, backend] : pool->backends) {
      if (!backend->override.has_value()) continue;
      next = std::min(next, backend->override->expire_time.value_or(next));
    }
    for (const auto& [address, absent] : pool->absent) next = std::min(next, absent.until);
  }
  return next;
}

Change Batch::RunLease(LeaseEffect effect) {
  change_.results.emplace_back();
  const bool is_expired = effect != LeaseEffect::kTakeBack;
  const bool drains = effect == LeaseEffect::kDrain;
  const auto is_concerned = [&](const Claim& claim) {
    if (claim.owner != request_.owner) return false;
    return effect == LeaseEffect::kRemove || claim.lease_expired != is_expired ||
           claim.lease_drains != drains;
  };
  for (const auto& [name, pool] : before_.pools) {
    size_t count = 0;
    for (const auto& [address, backend] : pool->backends) {
      const auto& claims = backend->claims;
      if (std::none_of(claims.begin(), claims.end(), is_concerned)) continue;
      ++count;
      if (effect == LeaseEffect::kRemove) {
        DropClaims(name, address, is_concerned, std::nullopt, /*warns=*/false, Forget::kNothing);
        continue;
      }
      BackendObject object = *backend;
      for (Claim& claim : object.claims) {
        if (claim.owner != request_.owner) continue;
        claim.lease_expired = is_expired;
        claim.lease_drains = drains;
      }
      PutBackend(name, std::move(object));
    }
    if (count > 0) Summarize(fmt::format("pool {}: {} claims {}", name, count, WordOf(effect)));
  }
  Finish();
  return std::move(change_);
}

Change Batch::RunExpiry() {
  change_.results.emplace_back();
  for (const auto& [name, pool] : before_.pools) {
    for (const auto& [address, backend] : pool->backends) {
      if (!backend->override.has_value() || !backend->override->expire_time.has_value() ||
          *backend->override->expire_time > now_) {
        continue;
      }
      BackendObject object = *backend;
      object.override.reset();
      Summarize(fmt::format("override of {}/{} has expired", name, address.ToString()));
      PutBackend(name, std::move(object));
    }
    for (const auto& [address, absent] : pool->absent) {
      if (absent.until > now_) continue;
      Summarize(fmt::format("override of {}/{} is forgotten: it did not come back", name,
                            address.ToString()));
      next_.MutablePool(name).absent.erase(address);
      TouchPool(name);
    }
  }
  Finish();
  return std::move(change_);
}

}  // namespace sidelb::control
