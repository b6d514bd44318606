#include "server/control/stats.h"

#include "dataplane/dataplane.h"
#include "dataplane/health/health_checker.h"
#include "dataplane/pool/backend.h"
#include "dataplane/pool/pool_load.h"

namespace sidelb::control {
namespace {

// The reasons of sessions that never had a backend, or lost it before the first byte.
constexpr CloseReason kRejections[] = {CloseReason::kNoBackend,     CloseReason::kNoCapacity,
                                       CloseReason::kConnectFailed, CloseReason::kConnectTimeout,
                                       CloseReason::kListenerLimit, CloseReason::kClientLimit,
                                       CloseReason::kLocalError,    CloseReason::kProxyProtocol};

void AddCloses(const std::array<Counter, kCloseReasonCount>& counters, Totals* totals) {
  for (size_t i = 0; i < kCloseReasonCount; ++i) totals->closes[i] += counters[i].value();
}

// What a listener and a backend count alike, on one shard.
template <typename Counters>
void AddTraffic(const Counters& counters, Totals* totals) {
  totals->bytes_in += counters.bytes_in.value();
  totals->bytes_out += counters.bytes_out.value();
  totals->packets_in += counters.datagrams_in.value();
  totals->packets_out += counters.datagrams_out.value();
  totals->connect_errors += counters.connect_errors.value();
  totals->connect_timeouts += counters.connect_timeouts.value();
  totals->retries += counters.retries.value();
  AddCloses(counters.closes, totals);
}

}  // namespace

void Totals::Add(const Backend& backend) {
  for (size_t i = 0; i < backend.shard_count(); ++i) {
    const BackendShard* const shard = backend.FindShard(i);
    if (shard == nullptr) continue;
    const BackendCounters& counters = shard->counters;
    sessions += counters.sessions.value();
    selected += counters.selected.value();
    AddTraffic(counters, this);
    connect_latency.Add(counters.connect_latency);
  }
}

void Totals::Add(const ProbeCounters& counters) {
  probes += counters.started.value();
  probes_failed += counters.failed.value();
}

void Totals::Add(const ListenerLoad& listener) {
  for (size_t i = 0; i < listener.shard_count; ++i) {
    const ListenerCounters& counters = listener.counters[i];
    sessions += counters.accepted.value();
    packets_dropped += counters.datagrams_dropped.value();
    AddTraffic(counters, this);
    for (CloseReason reason : kRejections) {
      rejected += counters.closes[static_cast<size_t>(reason)].value();
    }
  }
}

void Totals::Add(const PoolLoad& pool) {
  for (size_t i = 0; i < pool.shard_count(); ++i) {
    const PoolCounters& counters = pool.counters[i];
    AddCloses(counters.closes, this);
    for (CloseReason reason : kRejections) {
      rejected += counters.closes[static_cast<size_t>(reason)].value();
    }
  }
}

Totals& Totals::operator+=(const Totals& other) {
  sessions += other.sessions;
  rejected += other.rejected;
  selected += other.selected;
  bytes_in += other.bytes_in;
  bytes_out += other.bytes_out;
  packets_in += other.packets_in;
  packets_out += other.packets_out;
  packets_dropped += other.packets_dropped;
  connect_errors += other.connect_errors;
  connect_timeouts += other.connect_timeouts;
  retries += other.retries;
  probes += other.probes;
  probes_failed += other.probes_failed;
  for (size_t i = 0; i < kCloseReasonCount; ++i) closes[i] += other.closes[i];
  connect_latency += other.connect_latency;
  return *this;
}

}  // namespace sidelb::control
