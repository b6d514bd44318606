// Backend: one address of one pool, as long as anyone refers to it: what the shards share of it
// (BackendLoad) and what each shard keeps of it for itself (BackendShard).
//
// Thread safety: said per member. Ownership: the control thread creates and destroys backends.
// Snapshots and sessions hold raw pointers. A backend may be destroyed when every shard has applied
// a snapshot without it and load.active is 0, because `active` rises only at a pick from a
// snapshot and falls as the last thing that a session does with its backend.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>

#include "dataplane/base/address.h"
#include "dataplane/base/close_reason.h"
#include "dataplane/base/counters.h"
#include "dataplane/base/intrusive_list.h"
#include "dataplane/base/latency_histogram.h"

namespace sidelb {

class Backend;
class LeastLoadIndex;
struct LoadGroup;

// What the shards share; a cache line of its own.
struct alignas(64) BackendLoad {
  explicit BackendLoad(Backend* owner) : backend(owner) {}

  Backend* const backend;  // that it belongs to
  // Sessions between their pick and their close. Any thread; raised through TryAcquire().
  std::atomic<uint32_t> active{0};
  std::atomic<uint32_t> consecutive_failures{0};
  // Set while the pool's mode keeps an index of live counts; then changes of `active` go through
  // it. Written by the control thread.
  std::atomic<LeastLoadIndex*> index{nullptr};

  // Guarded by the lock of `index`.
  static constexpr uint32_t kNotIndexed = UINT32_MAX;
  static constexpr uint32_t kParked = UINT32_MAX - 1;  // a member without a free place
  uint32_t index_position = kNotIndexed;
  uint32_t index_weight = 0;
  uint32_t index_max_connections = 0;
  uint32_t index_member = 0;  // where it stands among the members
  uint64_t last_pick = 0;
  LoadGroup* group = nullptr;  // that it is a member of; null = it stands for itself
  uint32_t group_share = 0;    // of `active`, in the group's sum
};
static_assert(sizeof(BackendLoad) == 64);

// Takes one place of a backend; false when `max_connections` (0 = unlimited) are taken.
// Any thread.
bool TryAcquire(BackendLoad* load, uint32_t max_connections);
// Gives the place back. Nothing of the backend may be touched afterwards. Any thread.
void Release(BackendLoad* load);

// Totals of one backend on one shard. Raised by that shard, read by any thread.
struct BackendCounters {
  // A pick, after which the backend has `active` sessions on all shards.
  void CountPick(uint32_t active) {
    selected.Add(1);
    peak_active.Raise(active);
  }

  Counter selected;          // picks
  Counter sessions;          // connected
  Peak peak_active;          // of BackendLoad::active, as this shard saw it after a pick
  Counter bytes_in;          // from downstream to this backend
  Counter bytes_out;         // from this backend to downstream
  Counter datagrams_in;      // UDP
  Counter datagrams_out;     // UDP
  Counter connect_errors;    // refused, unreachable, timed out, reset before the first byte
  Counter connect_timeouts;  // those of connect_errors that timed out
  Counter retries;           // sessions that went on to another backend
  std::array<Counter, kCloseReasonCount> closes;
  LatencyHistogram connect_latency;  // TCP
};

// A session as its backend lists it.
struct BackendSession {
  virtual ~BackendSession() = default;
  // Its connect is under way and the backend is not to be used any more: it picks another one.
  virtual void Repick() = 0;
  // The backend must have no session any more, for `reason`.
  virtual void OnBackendClosed(CloseReason reason) = 0;
  // Whether it can move to another backend between two datagrams.
  virtual bool can_move() const = 0;

  ListHook backend_hook;
};

// What one shard keeps of a backend. The shard alone writes it.
struct alignas(64) BackendShard {
  BackendCounters counters;
  IntrusiveList<BackendSession, &BackendSession::backend_hook> sessions;    // established
  IntrusiveList<BackendSession, &BackendSession::backend_hook> connecting;  // not yet
};

class Backend {
 public:
  Backend(const Address& backend_address, size_t shard_count);
  Backend(const Backend&) = delete;
  Backend& operator=(const Backend&) = delete;
  ~Backend();

  const Address& address() const { return address_; }

  // The shard's own part, created at its first use. Called by shard `index` only.
  BackendShard* Shard(size_t index);
  // The same for readers of counters; nullptr where the shard never used this backend. Any thread.
  const BackendShard* FindShard(size_t index) const;
  size_t shard_count() const { return shard_count_; }
  // Lets the peaks of all shards begin anew, at the present count. Any thread.
  void ResetPeak();

  BackendLoad load{this};

 private:
  const Address address_;
  const size_t shard_count_;
  std::unique_ptr<std::atomic<BackendShard*>[]> shards_;
};

}  // namespace sidelb
