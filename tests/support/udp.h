// UDP sockets for tests. Every wait has the limit of tests/support/tcp.h.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <thread>

#include "dataplane/base/address.h"
#include "dataplane/base/unique_fd.h"

namespace sidelb::testing {

class UdpSocket {
 public:
  // Bound to `local`; connected to `peer` when it is specified.
  explicit UdpSocket(const Address& local = *Address::Parse("127.0.0.1:0"),
                     const Address& peer = Address());
  Address local() const;
  bool Send(std::string_view data);  // on a connected socket
  bool SendTo(std::string_view data, const Address& peer);
  // On a connected socket: datagrams of `segment` bytes, the last one shorter, in one call.
  bool SendTrain(std::string_view data, uint16_t segment);
  // The next datagram, with its sender in `from`; nullopt after the limit.
  std::optional<std::string> Receive(Address* from = nullptr);
  // The next datagram that is there already.
  std::optional<std::string> TryReceive();
  int fd() const { return fd_.get(); }

 private:
  UniqueFd fd_;
};

// A server with one thread that answers each datagram with what `handler` returns.
class UdpServer {
 public:
  using Handler = std::function<std::optional<std::string>(std::string_view)>;
  explicit UdpServer(Handler handler, const Address& address = *Address::Parse("127.0.0.1:0"));
  ~UdpServer();  // stops; the port is closed then
  const Address& address() const { return address_; }
  uint64_t received() const { return received_; }

 private:
  Handler handler_;
  UdpSocket socket_;
  Address address_;
  std::atomic<uint64_t> received_{0};
  std::thread thread_;
};

}  // namespace sidelb::testing
