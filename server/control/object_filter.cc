#include "server/control/object_filter.h"

#include <algorithm>
#include <utility>

#include "server/control/desired_state.h"

namespace sidelb::control {

ObjectFilter::ObjectFilter(Filter filter) : filter_(std::move(filter)) {
  pools_.insert(filter_.pools.begin(), filter_.pools.end());
  listeners_.insert(filter_.listeners.begin(), filter_.listeners.end());
  if (filter_.backends.has_value()) {
    addresses_.insert(filter_.backends->addresses.begin(), filter_.backends->addresses.end());
    filter_.backends->addresses.clear();
    if (IsEmpty(*filter_.backends)) filter_.backends.reset();
  }
  is_all_ = filter_.with_listeners && filter_.with_pools && filter_.with_backends &&
            filter_.with_leases && pools_.empty() && listeners_.empty() && addresses_.empty() &&
            filter_.states.empty() && (!filter_.backends.has_value() || filter_.backends->all);
}

bool ObjectFilter::Allows(const ListenerObject& listener) const {
  return filter_.with_listeners && AllowsPool(listener.spec.pool) &&
         (listeners_.empty() || listeners_.contains(listener.spec.name));
}

bool ObjectFilter::Allows(const Lease& lease) const {
  if (!filter_.with_leases || !pools_.empty() || !listeners_.empty()) return false;
  if (!addresses_.empty() || !filter_.states.empty()) return false;
  return !filter_.backends.has_value() || filter_.backends->all ||
         filter_.backends->owner == lease.owner;
}

bool ObjectFilter::Allows(const BackendObject& backend, BackendState state) const {
  if (!filter_.with_backends || !AllowsPool(backend.pool)) return false;
  if (!filter_.states.empty() &&
      std::find(filter_.states.begin(), filter_.states.end(), state) == filter_.states.end()) {
    return false;
  }
  if (!addresses_.empty() && !addresses_.contains(backend.address)) return false;
  return !filter_.backends.has_value() || Matches(*filter_.backends, backend);
}

}  // namespace sidelb::control
