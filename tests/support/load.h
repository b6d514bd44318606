// Load: clients that keep a proxy busy, and the backend that answers them.
//
// Thread safety: one test thread; the clients are threads of its own.
#pragma once

#include <atomic>
#include <cstdint>
#include <string>
#include <thread>
#include <vector>

#include "tests/support/tcp.h"
#include "tests/support/test_data_plane.h"

namespace sidelb::testing {

// A TcpServer handler: answers each "?" with "!".
inline void Answer(TcpSocket& socket) {
  while (socket.Receive(1) == "?") socket.Send("!");
}

// Clients that open, ask, are answered and close, as fast as they can, until Stop().
class Load {
 public:
  Load(const Address& address, int clients) {
    for (int i = 0; i < clients; ++i) {
      // Each from an address of its own, so that ports do not run out.
      const Address source = *Address::Parse("127.0.0." + std::to_string(2 + i) + ":0");
      threads_.emplace_back([this, address, source] {
        while (!stop_) {
          TcpSocket client = TcpSocket::Connect(address, source);
          const bool good = client.is_open() && client.Send("?") && client.Receive(1) == "!";
          ++(good ? good_ : failed_);
        }
      });
    }
  }
  ~Load() { Stop(); }

  void Stop() {
    stop_ = true;
    for (std::thread& thread : threads_) thread.join();
    threads_.clear();
  }
  // Returns when `n` more exchanges have succeeded.
  bool WaitFor(uint64_t n) {
    const uint64_t goal = good_ + n;
    return TestDataPlane::WaitUntil([&] { return good_ >= goal; });
  }
  uint64_t failed() const { return failed_; }

 private:
  std::atomic<bool> stop_{false};
  std::atomic<uint64_t> good_{0};
  std::atomic<uint64_t> failed_{0};
  std::vector<std::thread> threads_;
};

}  // namespace sidelb::testing
