// Building one consistent read from the desired and the live state.
//
// Thread safety: the control thread; the result is immutable.
#pragma once

#include <memory>

#include "server/control/desired_state.h"
#include "server/control/live_state.h"

namespace sidelb::control {

std::shared_ptr<const StateView> BuildView(const DesiredState& desired, const LiveState& live,
                                           const Filter& filter);

}  // namespace sidelb::control
