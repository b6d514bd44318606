// ShardListener: a listener of one shard, whatever its transport.
//
// Thread safety: the shard's thread. Ownership: the shard until Close().
#pragma once

#include "dataplane/net/listener_settings.h"

namespace sidelb {

class ShardListener {
 public:
  // Begins to listen; errno on failure, and then only Close() may follow.
  virtual int Open() = 0;
  // Sessions that begin from now on see `settings` and are counted in `load`.
  virtual void Update(const ListenerSettings& settings, ListenerLoad* load) = 0;
  // Takes what is queued, then closes the socket and ends this object.
  virtual void Close() = 0;
  // Begins no session any more, but goes on while any shard has one that needs its socket. False
  // when none has: only Close() may follow.
  virtual bool Linger() { return false; }

 protected:
  ~ShardListener() = default;
};

}  // namespace sidelb
