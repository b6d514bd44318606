// SessionSettings: what the sessions of one listener share on a shard; a new one at every change of
// the listener, so that running
// sessions keep what they began with; only the pool is that of the listener.
//
// Thread safety: the shard's thread. Ownership: counted.
#pragma once

#include "dataplane/base/local_ref.h"
#include "dataplane/net/listener_settings.h"

namespace sidelb {

// The pool that a listener leads to now. Sessions pick through it, so that one that has yet to pick
// (again) follows the listener to another pool.
struct ListenerPool : LocalRefCounted {
  explicit ListenerPool(PoolId pool) : id(pool) {}
  PoolId id;
};

struct SessionSettings : LocalRefCounted {
  SessionSettings(const ListenerSettings& settings, ListenerLoad* listener_load,
                  const LocalRef<ListenerPool>& listener_pool)
      : listener(settings), load(listener_load), pool(listener_pool) {}
  // The first one of a listener.
  static LocalRef<SessionSettings> Make(const ListenerSettings& settings, ListenerLoad* load) {
    const LocalRef<ListenerPool> pool(new ListenerPool(settings.pool));
    return LocalRef<SessionSettings>(new SessionSettings(settings, load, pool));
  }
  // The next one, after a change of the listener.
  LocalRef<SessionSettings> Next(const ListenerSettings& settings, ListenerLoad* next_load) const {
    pool->id = settings.pool;
    return LocalRef<SessionSettings>(new SessionSettings(settings, next_load, pool));
  }

  const ListenerSettings listener;
  ListenerLoad* const load;
  const LocalRef<ListenerPool> pool;
};

}  // namespace sidelb
