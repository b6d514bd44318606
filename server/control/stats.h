// What is counted of listeners, pools and backends, as plain values. Free of gRPC and protobuf.
//
// Thread safety: values; Add() reads counters that shards and the health checker go on raising.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "dataplane/base/address.h"
#include "dataplane/base/close_reason.h"
#include "dataplane/base/latency_histogram.h"

namespace sidelb {
class Backend;
struct ListenerLoad;
class PoolLoad;
struct ProbeCounters;
}  // namespace sidelb

namespace sidelb::control {

// Sums that only grow. Of what a row has not, they stay 0.
struct Totals {
  void Add(const Backend& backend);
  void Add(const ProbeCounters& counters);
  void Add(const ListenerLoad& listener);
  // Only what has no backend.
  void Add(const PoolLoad& pool);
  Totals& operator+=(const Totals& other);

  uint64_t sessions = 0;  // of a listener accepted, of a backend connected
  uint64_t rejected = 0;  // that ended for want of a backend or of room
  uint64_t selected = 0;
  uint64_t bytes_in = 0, bytes_out = 0;
  uint64_t packets_in = 0, packets_out = 0;
  uint64_t packets_dropped = 0;  // of a listener
  uint64_t connect_errors = 0;
  uint64_t connect_timeouts = 0;
  uint64_t retries = 0;
  uint64_t probes = 0, probes_failed = 0;
  std::array<uint64_t, kCloseReasonCount> closes{};
  LatencyCounts connect_latency;
};

enum class StatKind : uint8_t { kListener, kPool, kBackend };

struct StatRow {
  StatKind kind = StatKind::kListener;
  std::string name;  // of the listener or pool; of a backend its pool's
  Address address;   // of a backend; where a listener is bound, if it is
  uint64_t active = 0;
  uint64_t peak_active = 0;
  Totals totals;
};

struct Stats {
  absl::Time time;
  absl::Time since;           // the daemon's start
  std::vector<StatRow> rows;  // listeners, pools, backends, in the order of a StateView
};

}  // namespace sidelb::control
