// ShardContext: what the listeners and sessions of one shard use.
//
// Thread safety: the shard's thread, except Admission and Faults. Ownership: the Shard owns it; it
// outlives every session and listener of the shard.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>

#include "absl/container/flat_hash_map.h"
#include "dataplane/base/faults.h"
#include "dataplane/base/intrusive_list.h"
#include "dataplane/base/random.h"
#include "dataplane/base/unique_fd.h"
#include "dataplane/net/admission.h"
#include "dataplane/net/listener_settings.h"
#include "dataplane/net/poller.h"
#include "dataplane/net/relay.h"
#include "dataplane/net/shard_loads.h"
#include "dataplane/net/timer_wheel.h"
#include "dataplane/net/udp_resources.h"
#include "dataplane/pool/pool_snapshot.h"

namespace sidelb {

// A session as its shard lists it.
struct ShardSession {
  virtual ~ShardSession() = default;
  // Ends it at once.
  virtual void Abort(CloseReason reason) = 0;

  ListHook shard_hook;
};

// A listener that stopped accepting at the process cap.
struct PausedListener {
  virtual ~PausedListener() = default;
  virtual void Resume() = 0;
  ListHook paused_hook;
};

// A connection that one shard has accepted for another. Admission, ListenerLoad::active and
// ShardLoads count it already.
struct AcceptedConnection {
  UniqueFd socket;
  Address client;
  ListenerSettings settings;
  ListenerLoad* load;
  size_t accepted_by;  // the shard
};

class TcpListener;

struct ShardContext {
  ShardContext(size_t shard_index, const uint64_t& clock_ms, Poller& shard_poller,
               TimerWheel& wheel, PipeBudget& pipes, ShardLoads& process_loads,
               Admission& process_admission, Admission& process_udp_admission,
               Faults& process_faults)
      : index(shard_index),
        now_ms(clock_ms),
        poller(shard_poller),
        timers(wheel),
        relay(pipes),
        loads(process_loads),
        admission(process_admission),
        udp_admission(process_udp_admission),
        faults(process_faults),
        random_state(0x9e3779b97f4a7c15u * (shard_index + 1)) {}

  const PoolSnapshot* FindPool(PoolId id) const {
    const auto found = pools.find(id);
    return found == pools.end() ? nullptr : found->second.get();
  }

  const size_t index;
  const uint64_t& now_ms;  // of the present turn, steady clock
  Poller& poller;
  TimerWheel& timers;
  RelayResources relay;
  ShardLoads& loads;
  // Gives a connection to another shard.
  std::function<void(size_t shard, AcceptedConnection)> hand_over;
  Admission& admission;      // TCP sessions
  Admission& udp_admission;  // UDP sessions
  Faults& faults;
  absl::flat_hash_map<PoolId, std::shared_ptr<const PoolSnapshot>> pools;
  IntrusiveList<ShardSession, &ShardSession::shard_hook> sessions;
  // By ListenerLoad::serial; one that took others over stands under theirs as well.
  absl::flat_hash_map<uint64_t, TcpListener*> tcp_listeners;
  IntrusiveList<PausedListener, &PausedListener::paused_hook> paused;
  std::unique_ptr<UdpResources> udp;  // from the first UDP listener on
  uint64_t random_state;
};

}  // namespace sidelb
