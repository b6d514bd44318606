// Backend: the servers behind the proxy, on any number of addresses.
//
// Threads: one, that of its loop. Ownership: main.
#pragma once

#include <memory>
#include <unordered_map>
#include <vector>

#include "bench/load/event_loop.h"
#include "bench/load/tally.h"
#include "dataplane/base/address.h"

namespace sidelb::bench {

// What a server does on each connection; after the peer's FIN it closes.
enum class Service {
  kEcho,    // sends back what comes
  kSource,  // sends without end
  kSink,    // reads without end
};

class Backend {
 public:
  // Ends the program when an address cannot be had.
  Backend(EventLoop& loop, Tally& tally, const std::vector<Address>& addresses);
  ~Backend();

  // Of connections to come.
  void set_service(Service service) { service_ = service; }

 private:
  class Listener;
  class Connection;

  void Add(UniqueFd fd);
  void Remove(Connection* connection);

  EventLoop& loop_;
  Tally& tally_;
  Service service_ = Service::kEcho;
  std::vector<std::unique_ptr<Listener>> listeners_;
  std::unordered_map<Connection*, std::unique_ptr<Connection>> connections_;
};

}  // namespace sidelb::bench
