// Blocking TCP sockets for tests: clients and scripted backends. Every wait has a limit of
// kLimitSeconds, after which the call reports a timeout instead of hanging.
//
// Thread safety: one thread per socket, except that another may Shutdown() or read peers.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <list>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "dataplane/base/address.h"
#include "dataplane/base/unique_fd.h"

namespace sidelb::testing {

inline constexpr int kLimitSeconds = 60;

enum class End : uint8_t { kNone, kFin, kReset, kTimeout, kError };

class TcpSocket {
 public:
  TcpSocket() = default;
  explicit TcpSocket(UniqueFd fd);
  // Connects; is_open() tells whether it worked. `source` may name the local address.
  static TcpSocket Connect(const Address& address, const Address& source = Address());

  bool is_open() const { return fd_.is_open(); }
  int fd() const { return fd_.get(); }
  Address local() const;
  Address peer() const;

  // Sends all of `data`; false when the peer is gone.
  bool Send(std::string_view data);
  // Receives exactly `size` bytes unless an end comes before.
  std::string Receive(size_t size);
  // Receives until an end; what it was is in end().
  std::string ReceiveAll();
  // At most `size` bytes of one recv(2) into `data`; 0 at an end.
  size_t ReceiveSome(char* data, size_t size);
  // The end that was seen last: kNone while the stream is open.
  End end() const { return end_; }
  // Waits for the peer's end, whatever comes before it.
  End WaitForEnd();

  void SendFin();
  void Reset();                  // closes with RST
  void Close();                  // closes with FIN (or with RST, when data was not read)
  void Shutdown();               // ends both directions; any thread
  void LimitBuffers(int bytes);  // small socket buffers, for back-pressure

 private:
  UniqueFd fd_;
  std::unique_ptr<std::mutex> closing_ = std::make_unique<std::mutex>();
  End end_ = End::kNone;
};

// A server on 127.0.0.1 (or `address`) with one thread for each connection.
class TcpServer {
 public:
  using Handler = std::function<void(TcpSocket&)>;
  explicit TcpServer(Handler handler, const Address& address = *Address::Parse("127.0.0.1:0"));
  ~TcpServer();  // Stop()

  const Address& address() const { return address_; }
  uint64_t accepted() const { return accepted_.load(); }
  // Closes the listening socket: connects are refused from here on. Idempotent.
  void StopListening();
  // Stops listening and waits until every handler has returned by itself.
  void JoinHandlers();
  // Resets every connection, and joins.
  void Stop();

 private:
  void AcceptLoop();

  struct Connection {
    TcpSocket socket;
    std::thread thread;
  };

  Handler handler_;
  Address address_;
  UniqueFd listening_;
  UniqueFd wake_;
  std::atomic<bool> is_stopping_{false};
  std::atomic<uint64_t> accepted_{0};
  std::mutex mutex_;
  std::list<Connection> connections_;
  std::thread thread_;
};

// Handlers.
void Echo(TcpSocket& socket);                    // until FIN, then FIN
TcpServer::Handler Greet(std::string greeting);  // sends it, then waits for the end

// An address that nobody listens on: bound, never listening, so that connects are refused.
struct RefusedAddress {
  RefusedAddress();
  UniqueFd socket;
  Address address;
};

// An address where connects hang: its listening queue is full, so that SYNs are dropped.
class Hole {
 public:
  Hole();
  const Address& address() const { return address_; }

 private:
  UniqueFd socket_;
  Address address_;
  std::vector<UniqueFd> fillers_;
};

}  // namespace sidelb::testing
