// Writes attributes of a command line over a message; what was not given keeps its value.
//
// Thread safety: pure functions.
#pragma once

#include "client/cli/arguments.h"
#include "sidelb/v1/resources.pb.h"

namespace sidelb::client {

void ApplyAttributes(const BackendAttributes& attributes, pb::BackendSpec* spec);
void ApplyAttributes(const PoolAttributes& attributes, pb::Pool* pool);
void ApplyAttributes(const ListenerAttributes& attributes, pb::Listener* listener);

}  // namespace sidelb::client
