// What a listener is to the shards: its settings, and what the shards share of it.
#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>

#include "dataplane/base/close_reason.h"
#include "dataplane/base/counters.h"
#include "dataplane/base/transport.h"
#include "dataplane/pool/pool_snapshot.h"

namespace sidelb {

using ListenerId = uint64_t;  // never reused while the process lives

// Totals of one listener on one shard. Raised by that shard, read by any thread.
struct alignas(64) ListenerCounters {
  Counter accepted;        // refused ones too
  Peak peak_active;        // of ListenerLoad::active, as this shard saw it after an accept
  Counter bytes_in;        // from downstream
  Counter bytes_out;       // to downstream
  Counter connect_errors;  // of its sessions, as BackendCounters counts them
  Counter connect_timeouts;
  Counter retries;
  Counter datagrams_in;
  Counter datagrams_out;
  Counter datagrams_dropped;  // no session for them, or the kernel took them not
  std::array<Counter, kCloseReasonCount> closes;  // of every session that lived there
};

// What the shards share of a listener over all of its configurations. The control thread creates
// one with the listener and may destroy it when the listener is removed, every shard has
// acknowledged that, and `active` is 0.
struct ListenerLoad {
  explicit ListenerLoad(size_t shards)
      : shard_count(shards), counters(std::make_unique<ListenerCounters[]>(shards)) {}

  // Lets the peaks of all shards begin anew, at the present count. Any thread.
  void ResetPeak() {
    const uint32_t present = active.load(std::memory_order_relaxed);
    for (size_t i = 0; i < shard_count; ++i) counters[i].peak_active.Reset(present);
  }

  // Never reused while the process lives, other than its address.
  const uint64_t serial = NextSerial();
  const size_t shard_count;
  alignas(64) std::atomic<uint32_t> active{0};   // its sessions, from accept to close; any shard
  std::unique_ptr<ListenerCounters[]> counters;  // one for each shard

 private:
  static uint64_t NextSerial() {
    static std::atomic<uint64_t> last{0};
    return last.fetch_add(1, std::memory_order_relaxed) + 1;
  }
};

// How a listener treats its sessions. A zero duration means off.
struct ListenerSettings {
  Transport transport = Transport::kTcp;  // never changes for one listener
  PoolId pool = 0;
  uint32_t max_connections = 0;  // 0 = unlimited
  std::chrono::milliseconds connect_timeout{3'000};
  uint32_t connect_attempts = 3;  // distinct backends, 1..8
  std::chrono::milliseconds idle_timeout{3'600'000};
  std::chrono::milliseconds half_close_timeout{30'000};
  std::chrono::seconds keepalive_idle{60};
  std::chrono::seconds keepalive_interval{15};
  uint32_t keepalive_count = 4;
  UdpPolicy udp_policy = UdpPolicy::kSession;
  std::chrono::milliseconds udp_session_timeout{60'000};     // idle
  std::chrono::milliseconds udp_unanswered_timeout{15'000};  // while nothing was answered
  uint32_t max_sessions_per_client = 0;                      // UDP, of one address; 0 = unlimited
};

}  // namespace sidelb
