// Clients: the connections through the proxy, in one of the scenarios of TCP.
//
// Threads: one, that of its loop. Ownership: main.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "bench/load/event_loop.h"
#include "bench/load/job.h"
#include "bench/load/tally.h"
#include "dataplane/base/address.h"

namespace sidelb::bench {

class Clients {
 public:
  // `sources` are where the connections come from, in turn: TIME_WAIT keeps a port of each address
  // for a minute. Empty lets the kernel choose.
  Clients(EventLoop& loop, Tally& tally, const Job& job, std::vector<Address> sources);
  ~Clients();

 private:
  class Connection;

  void OpenNext();  // the first time for each place
  void Open(size_t place);
  // Retires `connection`; in kSetup another takes its place.
  void Close(Connection* connection);

  EventLoop& loop_;
  Tally& tally_;
  const Job job_;
  const Address proxy_;
  const std::vector<Address> sources_;
  size_t next_source_ = 0;
  size_t opened_ = 0;  // places that have been filled
  std::vector<std::unique_ptr<Connection>> connections_;
};

}  // namespace sidelb::bench
