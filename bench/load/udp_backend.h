// UdpBackend: sends every datagram back, on any number of addresses.
//
// Threads: one, that of its loop. Ownership: main.
#pragma once

#include <memory>
#include <vector>

#include "bench/load/event_loop.h"
#include "bench/load/tally.h"
#include "bench/load/udp_batch.h"
#include "dataplane/base/address.h"

namespace sidelb::bench {

class UdpBackend {
 public:
  // Ends the program when an address cannot be had.
  UdpBackend(EventLoop& loop, Tally& tally, const std::vector<Address>& addresses);
  ~UdpBackend();

  // Whether what came as one piece is sent back as one.
  void set_segments(bool on);

 private:
  class Socket;

  Tally& tally_;
  UdpBatch batch_;
  std::vector<std::unique_ptr<Socket>> sockets_;
};

}  // namespace sidelb::bench
