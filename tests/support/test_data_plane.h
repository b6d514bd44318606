// TestDataPlane: a data plane with a small control plane for tests: it keeps pools, backends and
// listeners, publishes them, and waits for the acknowledgement.
//
// Thread safety: one test thread. Ownership: the test.
#pragma once

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <chrono>
#include <condition_variable>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "dataplane/dataplane.h"

namespace sidelb::testing {

class TestDataPlane {
 public:
  explicit TestDataPlane(size_t shards, uint64_t max_connections = 0,
                         std::chrono::microseconds busy_poll = {});
  ~TestDataPlane();

  struct BackendState {
    std::unique_ptr<Backend> backend;
    uint32_t weight = 100;
    uint32_t max_connections = 0;
    AdminState admin_state = AdminState::kEnabled;
    bool is_member = true;
  };

  // Changes take effect on the shards at Publish().
  void AddPool(PoolId pool, Mode mode = Mode::kRoundRobin);
  BackendState& AddBackend(PoolId pool, const Address& address);
  BackendState& backend(PoolId pool, const Address& address);
  void SetMode(PoolId pool, Mode mode);
  // A new listener on 127.0.0.1:0; its address is returned after the publication.
  Address Listen(ListenerId id, const ListenerSettings& settings,
                 const Address& address = *Address::Parse("127.0.0.1:0"));
  // Listener `id` instead of `before`, at its address.
  void TakeOver(ListenerId id, ListenerId before, const ListenerSettings& settings);
  void Unlisten(ListenerId id, bool lingers = false);
  // Publishes every pool and `changes`, returns when all shards have applied it.
  std::vector<ListenError> Publish(std::vector<BackendChange> changes = {},
                                   std::vector<ListenerChange> listeners = {});

  DataPlane& data_plane() { return *data_plane_; }
  ListenerLoad& listener(ListenerId id) { return *listeners_.at(id); }
  PoolLoad& pool_load(PoolId pool) { return *pools_.at(pool).load; }
  uint64_t closes(ListenerId id, CloseReason reason) const;
  // Sums over shards.
  uint64_t Sum(const Backend& backend, const Counter BackendCounters::*counter) const;
  // Polls until `condition` holds; false after the limit of tests/support/tcp.h.
  static bool WaitUntil(const std::function<bool()>& condition);

 private:
  struct PoolState {
    Mode mode;
    std::unique_ptr<PoolLoad> load;
    std::vector<std::unique_ptr<BackendState>> backends;
  };

  boost::asio::io_context io_;
  boost::asio::executor_work_guard<boost::asio::io_context::executor_type> work_;
  std::map<PoolId, PoolState> pools_;
  std::map<ListenerId, std::unique_ptr<ListenerLoad>> listeners_;
  std::unique_ptr<DataPlane> data_plane_;
  size_t shards_;
  uint64_t seq_ = 0;
  std::mutex mutex_;
  std::condition_variable applied_;
  uint64_t applied_seq_ = 0;
  std::vector<ListenError> errors_;
  std::thread thread_;
};

}  // namespace sidelb::testing
