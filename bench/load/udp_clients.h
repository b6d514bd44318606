// UdpClients: flows of datagrams through the proxy, in one of the scenarios of UDP.
//
// Threads: one, that of its loop. Ownership: main.
#pragma once

#include <cstddef>
#include <memory>
#include <vector>

#include "bench/load/event_loop.h"
#include "bench/load/job.h"
#include "bench/load/tally.h"
#include "bench/load/udp_batch.h"
#include "dataplane/base/address.h"

namespace sidelb::bench {

class UdpClients {
 public:
  UdpClients(EventLoop& loop, Tally& tally, const Job& job, std::vector<Address> sources);
  ~UdpClients();

  // From now on nothing new is sent.
  void Stop() { is_stopping_ = true; }
  // Datagrams that did not come back yet.
  size_t under_way() const { return under_way_; }

 private:
  class Flow;

  void Open(size_t place);
  // Retires the flow; another one, from a new port, takes its place.
  void Replace(size_t place);

  EventLoop& loop_;
  Tally& tally_;
  const Job job_;
  const Address proxy_;
  const std::vector<Address> sources_;
  size_t next_source_ = 0;
  size_t under_way_ = 0;
  bool is_stopping_ = false;
  UdpBatch batch_;
  std::vector<std::unique_ptr<Flow>> flows_;
};

}  // namespace sidelb::bench
