// SessionSettings: what the sessions of one listener share on a shard; a new one at every change of
// the listener, so that running sessions keep what they began with.
//
// Thread safety: the shard's thread. Ownership: counted.
#pragma once

#include "dataplane/base/local_ref.h"
#include "dataplane/net/listener_settings.h"

namespace sidelb {

struct SessionSettings : LocalRefCounted {
  SessionSettings(const ListenerSettings& settings, ListenerLoad* listener_load)
      : listener(settings), load(listener_load) {}

  const ListenerSettings listener;
  ListenerLoad* const load;
};

}  // namespace sidelb
