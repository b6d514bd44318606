// Clients: the connections through the proxy, in one of the scenarios.
//
// Threads: one, that of its loop. Ownership: main.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "bench/load/event_loop.h"
#include "bench/load/tally.h"
#include "dataplane/base/address.h"

namespace sidelb::bench {

enum class Scenario {
  kSetup,  // open, exchange one message, FIN, FIN; then again
  kRtt,    // one message to and fro, again and again
  kDown,   // bytes from the backend
  kUp,     // bytes to the backend
  kIdle,   // exchange one message, then stay
};

class Clients {
 public:
  struct Options {
    Scenario scenario;
    Address proxy;
    size_t connections = 1;  // at the same time
    // Where the connections come from, in turn: TIME_WAIT keeps a port of each address for a
    // minute. Empty lets the kernel choose.
    std::vector<Address> sources;
  };

  Clients(EventLoop& loop, Tally& tally, Options options);
  ~Clients();

 private:
  class Connection;

  void OpenNext();  // the first time for each place
  void Open(size_t place);
  // Retires `connection`; in kSetup another takes its place.
  void Close(Connection* connection);

  EventLoop& loop_;
  Tally& tally_;
  const Options options_;
  size_t next_source_ = 0;
  size_t opened_ = 0;  // places that have been filled
  std::vector<std::unique_ptr<Connection>> connections_;
};

}  // namespace sidelb::bench
