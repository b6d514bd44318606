// What is to be read of the desired and the live state: one status, or a whole view.
//
// Thread safety: the control thread; a view is immutable.
#pragma once

#include <memory>

#include "server/control/desired_state.h"
#include "server/control/live_state.h"
#include "server/control/object_filter.h"

namespace sidelb::control {

// All that `filter` selects. `position` stays 0.
std::shared_ptr<StateView> BuildView(const DesiredState& desired, const LiveState& live,
                                     const ObjectFilter& filter);

ListenerStatus StatusOf(const LiveListener* live);  // may be null
BackendStatus StatusOf(const BackendObject& object, const LiveBackend& live, const LivePool& pool);
// Which priority serves, whether it is panic, and whether any backend may be picked.
void FillServing(const LivePool& pool, PoolStatus* status);
// Adds `change`, 1 or -1, to the counts that a backend in `state` belongs to. One that is removed
// is no part of the pool any more; its last sessions are.
void CountBackend(BackendState state, int change, PoolStatus* pool);
// What a live backend is an instance of: its object in `pool`, or what it was while it drains; null
// when neither is there.
std::shared_ptr<const BackendObject> ObjectOf(const DesiredPool* pool, const Address& address,
                                              const LiveBackend& live);

}  // namespace sidelb::control
