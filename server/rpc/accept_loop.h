// AcceptLoop: accepts the connections of one listening socket on a thread of its own, and bounds
// them: how many are open at a time, in all and from one source, and how fast a source may come.
// What is over a bound is closed at once, counted, and logged once a minute.
//
// Thread safety: all calls by the thread that owns it, counts() by any. Connections come on the
// thread of the loop.
// Ownership: the handler must live until Stop() returns.
#pragma once

#include <sys/stat.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "dataplane/base/unique_fd.h"
#include "server/rpc/accept_rate.h"

namespace sidelb::rpc {

class AcceptLoop {
 public:
  struct Options {
    std::string name;  // in messages: "the control endpoint 192.0.2.1:7000"
    std::string thread_name = "slb-accept";
    size_t max_connections = 256;  // open at a time
    size_t max_per_source = 0;     // of one source; 0 = no bound of its own
    uint32_t max_rate = 0;         // of one source in a second; 0 = no bound
  };
  // A connection with whom it comes from.
  struct Accepted {
    UniqueFd fd;         // non-blocking, close-on-exec
    std::string source;  // what bounds go by: "user 1000", "192.0.2.1", "2001:db8::/64"
    uint32_t uid = 0;    // of a unix socket's peer
  };
  // Takes a connection over. It must be closed by closing the number that it has, which is how the
  // loop knows when it ended.
  using Handler = std::function<void(Accepted connection)>;
  // Connections that were refused, by why.
  struct Counts {
    uint64_t full = 0;
    uint64_t source_full = 0;
    uint64_t too_fast = 0;
  };

  explicit AcceptLoop(Options options);
  ~AcceptLoop();  // Stop()
  AcceptLoop(const AcceptLoop&) = delete;
  AcceptLoop& operator=(const AcceptLoop&) = delete;

  // Takes a listening socket that does not block; accepts nothing yet, connections queue.
  absl::Status Listen(UniqueFd listening);
  // Begins to accept. REQUIRES: called once, after Listen().
  void Start(Handler handler);
  // Closes the listening socket. Accepted connections go on. Idempotent.
  void Stop();

  bool is_listening() const { return listening_.is_open(); }
  Counts counts() const;

 private:
  using Clock = std::chrono::steady_clock;

  // A connection that was handed over, known by what its descriptor refers to: when the number is
  // closed or means another socket, it has ended.
  struct Connection {
    int fd;
    ino_t inode;
    std::string source;
    bool IsOpen() const;
  };

  // Lets one message of its kind through each minute.
  class LogLimit {
   public:
    bool IsDue();

   private:
    std::optional<Clock::time_point> last_;
  };

  void Run();
  // Accepts what is queued. False when it must wait because descriptors or memory are short.
  bool AcceptQueued();
  void Take(Accepted connection);
  bool HasRoom();
  bool HasRoomFor(const std::string& source);

  const Options options_;
  UniqueFd listening_;
  UniqueFd wake_;  // an eventfd: readable once it must stop
  std::thread thread_;
  std::atomic<uint64_t> full_{0};
  std::atomic<uint64_t> source_full_{0};
  std::atomic<uint64_t> too_fast_{0};

  // Used by its thread alone.
  Handler handler_;
  std::vector<Connection> connections_;
  AcceptRate rate_;
  LogLimit accept_log_;
  LogLimit full_log_;
  LogLimit source_full_log_;
  LogLimit too_fast_log_;
};

}  // namespace sidelb::rpc
