#include "dataplane/dataplane.h"

#include <utility>

#include "dataplane/net/socket_options.h"
#include "dataplane/runtime/shard_set.h"

namespace sidelb {

absl::StatusOr<std::unique_ptr<DataPlane>> DataPlane::Start(Options options) {
  absl::StatusOr<std::unique_ptr<ShardSet>> shards = ShardSet::Start(std::move(options));
  if (!shards.ok()) return shards.status();
  return std::unique_ptr<DataPlane>(new DataPlane(*std::move(shards)));
}

DataPlane::DataPlane(std::unique_ptr<ShardSet> shards) : shards_(std::move(shards)) {}
DataPlane::~DataPlane() = default;

absl::StatusOr<ListenerSockets> DataPlane::Bind(const Address& address, Transport transport) const {
  ListenerSockets bound;
  absl::StatusOr<std::vector<UniqueFd>> sockets =
      BindSockets(address, transport, shards_->size(), &bound.bound_address);
  if (!sockets.ok()) return sockets.status();
  bound.sockets = *std::move(sockets);
  return bound;
}

void DataPlane::Publish(Publication publication) { shards_->Publish(std::move(publication)); }
void DataPlane::AskShards(std::function<void()> callback) { shards_->AskAll(std::move(callback)); }
void DataPlane::Stop(CloseReason reason) { shards_->Stop(reason); }

size_t DataPlane::shard_count() const { return shards_->size(); }
uint64_t DataPlane::active_sessions() const {
  return shards_->admission().active() + shards_->udp_admission().active();
}
uint64_t DataPlane::max_connections() const { return shards_->admission().max(); }
uint64_t DataPlane::max_udp_sessions() const { return shards_->udp_admission().max(); }
FaultCounters DataPlane::faults() const { return shards_->faults().Read(); }

}  // namespace sidelb
