// Tally: what a run has done so far. One thread.
#pragma once

#include <cstdint>

#include "bench/load/histogram.h"

namespace sidelb::bench {

struct Tally {
  uint64_t connections = 0;  // opened, exchanged and closed by both sides
  uint64_t round_trips = 0;
  uint64_t bytes = 0;      // of bulk streams that arrived
  uint64_t greeted = 0;    // idle connections that have exchanged their one message
  uint64_t datagrams = 0;  // that came back
  uint64_t errors = 0;     // refused, reset, ended too early, or a datagram that was lost
  // Of one connection, round trip, datagram or burst.
  Histogram latency;
};

}  // namespace sidelb::bench
