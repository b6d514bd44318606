// DataPlane: the facade of the data plane and the one runtime header that others include. It owns
// the shards; it takes publications, acknowledges them, and answers with counters.
//
// Thread safety: Start(), Stop() and the destructor by the thread that owns it (main); the rest by
// the control thread, except what says "any thread". Callbacks run on `Options::control`.
// Ownership: whoever calls Start() owns it. Backends, pool loads and listener loads named in a
// publication must outlive their use, as backend.h says.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "dataplane/base/address.h"
#include "dataplane/base/close_reason.h"
#include "dataplane/base/faults.h"
#include "dataplane/base/unique_fd.h"
#include "dataplane/net/listener_settings.h"
#include "dataplane/pool/backend.h"
#include "dataplane/pool/pool_snapshot.h"

namespace sidelb {

class ShardSet;

// The listening sockets of one listener, one for each shard: bound, not listening yet.
struct ListenerSockets {
  Address bound_address;  // with the port that the kernel chose
  std::vector<UniqueFd> sockets;
};

// What changes for one listener.
struct ListenerChange {
  ListenerId id = 0;
  // Absent: the listener goes. Its shards accept what is queued, then close; sessions go on.
  std::optional<ListenerSettings> settings;
  ListenerLoad* load = nullptr;  // with settings
  // With settings, for a listener that is new or moved: its sockets. Empty keeps the present ones.
  ListenerSockets sockets;
  // With settings: takes over the sockets of this other listener, which goes. 0 = none.
  ListenerId takes_over = 0;
  // Without settings: one of UDP, whose sessions answer through its socket, stays until they are
  // quiet (ShardListener::Linger()). For a stop: the address is not free before the last shard
  // ends.
  bool lingers = false;
};

// What happens to the sessions that one backend has.
struct BackendChange {
  Backend* backend = nullptr;
  bool repick_connecting = false;  // connects under way go to another backend
  // Its sessions end: those of TCP are reset, those of UDP pick another one.
  std::optional<CloseReason> close;
  // Sessions of UDP pick another one (it is unhealthy), those of TCP go on.
  bool move_datagram_sessions = false;
};

// One atomic change of what the shards use.
struct Publication {
  uint64_t seq = 0;                                        // grows by one each time
  uint64_t revision = 0;                                   // of the desired state that it carries
  std::vector<std::shared_ptr<const PoolSnapshot>> pools;  // new or changed
  std::vector<PoolId> removed_pools;
  std::vector<ListenerChange> listeners;
  std::vector<BackendChange> backends;
};

// A listener's socket that could not listen on a shard, though it could be bound.
struct ListenError {
  ListenerId listener = 0;
  int error = 0;  // errno
};

class DataPlane {
 public:
  struct Options {
    size_t shards = 1;
    // Sessions of the whole process; 0 = 0.45 x RLIMIT_NOFILE. At the cap the shards stop
    // accepting and the kernel queues.
    uint64_t max_connections = 0;
    // UDP sessions of the whole process; 0 = a quarter of RLIMIT_NOFILE, at most the local ports
    // less 4 096.
    uint64_t max_udp_sessions = 0;
    // How long a shard asks for events before it sleeps (docs/decisions/0018-busy-polling.md).
    std::chrono::microseconds busy_poll{0};
    boost::asio::any_io_executor control;  // where callbacks run; it must outlive the data plane
    // Every shard uses `seq`, or something newer. Called in order, once per publication.
    std::function<void(uint64_t seq, uint64_t revision, std::vector<ListenError>)> on_applied;
  };

  // Starts the shards' threads.
  static absl::StatusOr<std::unique_ptr<DataPlane>> Start(Options options);
  ~DataPlane();  // stops
  DataPlane(const DataPlane&) = delete;
  DataPlane& operator=(const DataPlane&) = delete;

  // Binds one socket for each shard. FAILED_PRECONDITION with the errno text when the address is
  // taken or not ours, RESOURCE_EXHAUSTED when descriptors are short. Closing them has no effect on
  // traffic, because they never listened.
  absl::StatusOr<ListenerSockets> Bind(const Address& address,
                                       Transport transport = Transport::kTcp) const;

  // Posts `publication` to every shard. REQUIRES: the one before has been acknowledged.
  void Publish(Publication publication);

  // Calls back once every shard has come to it: whether they all live. Not after Stop().
  void AskShards(std::function<void()> callback);

  // Resets every session and joins the shards. Idempotent.
  void Stop(CloseReason reason = CloseReason::kShutdown);

  // Any thread.
  size_t shard_count() const;
  uint64_t active_sessions() const;  // TCP and UDP
  uint64_t max_connections() const;
  uint64_t max_udp_sessions() const;
  FaultCounters faults() const;

 private:
  explicit DataPlane(std::unique_ptr<ShardSet> shards);

  std::unique_ptr<ShardSet> shards_;
};

}  // namespace sidelb
