// ShardSet: the shards of a process: starts them, hands each publication to all of them, collects
// their acknowledgements, joins them.
//
// Thread safety: Start(), Stop() and the destructor by the owner; Publish() and AskAll() by the
// control thread; const methods by any thread. Ownership: the DataPlane.
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "dataplane/base/faults.h"
#include "dataplane/dataplane.h"
#include "dataplane/net/admission.h"
#include "dataplane/net/pipe_pool.h"
#include "dataplane/net/shard_loads.h"
#include "dataplane/runtime/shard.h"

namespace sidelb {

class ShardSet {
 public:
  static absl::StatusOr<std::unique_ptr<ShardSet>> Start(DataPlane::Options options);
  ~ShardSet();
  ShardSet(const ShardSet&) = delete;
  ShardSet& operator=(const ShardSet&) = delete;

  void Publish(Publication publication);
  void AskAll(std::function<void()> callback);
  void Stop(CloseReason reason);

  size_t size() const { return shards_.size(); }
  const Admission& admission() const { return admission_; }
  const Admission& udp_admission() const { return udp_admission_; }
  const Faults& faults() const { return faults_; }

 private:
  // One publication under way; the control thread's.
  struct Round {
    std::shared_ptr<Publication> publication;
    size_t missing = 0;
    std::vector<ListenError> errors;
  };
  // Outlives the ShardSet while acknowledgements are queued on the control executor.
  struct Collector {
    Round round;
    decltype(DataPlane::Options::on_applied) on_applied;
  };

  struct Limits {
    uint64_t sessions = 0;
    uint64_t udp_sessions = 0;
    uint64_t descriptors = 0;  // of all sessions together
    uint32_t pipes = 0;
  };

  ShardSet(DataPlane::Options options, const Limits& limits);
  static void OnAck(const std::shared_ptr<Collector>& collector, ShardAck ack);

  boost::asio::any_io_executor control_;
  PipeBudget pipes_;
  DescriptorBudget descriptors_;
  Admission admission_;
  Admission udp_admission_;
  ShardLoads loads_;
  Faults faults_;
  std::shared_ptr<Collector> collector_;
  std::vector<std::unique_ptr<Shard>> shards_;
};

}  // namespace sidelb
