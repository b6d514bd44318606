#include "dataplane/pool/backend.h"

#include "dataplane/pool/least_load_index.h"

namespace sidelb {

bool TryAcquire(BackendLoad* load, uint32_t max_connections) {
  if (LeastLoadIndex* index = load->index.load(std::memory_order_acquire)) {
    return index->AcquireOne(load, max_connections);
  }
  if (max_connections == 0) {
    load->active.fetch_add(1, std::memory_order_relaxed);
    return true;
  }
  uint32_t active = load->active.load(std::memory_order_relaxed);
  while (active < max_connections) {
    if (load->active.compare_exchange_weak(active, active + 1, std::memory_order_relaxed)) {
      return true;
    }
  }
  return false;
}

void Release(BackendLoad* load) {
  if (LeastLoadIndex* index = load->index.load(std::memory_order_acquire)) {
    index->ReleaseOne(load);
    return;
  }
  // Release pairs with the control thread's acquire load before it destroys the backend.
  load->active.fetch_sub(1, std::memory_order_release);
}

Backend::Backend(const Address& backend_address, size_t shard_count)
    : address_(backend_address),
      shard_count_(shard_count),
      shards_(std::make_unique<std::atomic<BackendShard*>[]>(shard_count)) {}

Backend::~Backend() {
  for (size_t i = 0; i < shard_count_; ++i) delete shards_[i].load(std::memory_order_acquire);
}

BackendShard* Backend::Shard(size_t index) {
  BackendShard* shard = shards_[index].load(std::memory_order_relaxed);
  if (shard == nullptr) {
    shard = new BackendShard;
    shards_[index].store(shard, std::memory_order_release);
  }
  return shard;
}

const BackendShard* Backend::FindShard(size_t index) const {
  return shards_[index].load(std::memory_order_acquire);
}

void Backend::ResetPeak() {
  const uint32_t active = load.active.load(std::memory_order_relaxed);
  for (size_t i = 0; i < shard_count_; ++i) {
    BackendShard* const shard = shards_[i].load(std::memory_order_acquire);
    if (shard != nullptr) shard->counters.peak_active.Reset(active);
  }
}

}  // namespace sidelb
