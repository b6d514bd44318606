// UnixAcceptor: the listening side of a unix stream socket, accepted by ourselves, because gRPC
// unlinks a live socket of another daemon and leaves its mode to the umask (decision 26).
//
// Who holds the lock on "PATH.lock" owns PATH: it may remove a socket that a daemon left behind,
// and a second daemon is refused. The lock file stays; removing it would let two daemons lock two
// files of one name.
//
// Thread safety: all calls by the thread that owns it. Connections come on a thread of its own,
// "slb-accept" unless the options name it.
// Ownership: the handler must live until Stop() returns.
#pragma once

#include <sys/stat.h>

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/statusor.h"
#include "dataplane/base/unique_fd.h"

namespace sidelb::rpc {

class UnixAcceptor {
 public:
  struct Options {
    std::string path;
    // Connections that may be open at a time; more are closed at once.
    size_t max_connections = 256;
    mode_t mode = 0660;
    // How messages call it, and the argument that puts it elsewhere.
    std::string what = "the control endpoint";
    std::string argument = "--control";
    std::string thread_name = "slb-accept";
  };
  // Takes a connection over: non-blocking, close-on-exec. It must be closed by closing the number
  // that it has, which is how the acceptor knows when it ended.
  using Handler = std::function<void(UniqueFd connection)>;

  // Locks, binds and listens; accepts nothing yet, connections queue. INVALID_ARGUMENT when the
  // path is empty or too long; ALREADY_EXISTS when another daemon has it, or something that is no
  // socket stands there; else what errno says, with the path.
  static absl::StatusOr<std::unique_ptr<UnixAcceptor>> Open(const Options& options);
  ~UnixAcceptor();  // Stop()
  UnixAcceptor(const UnixAcceptor&) = delete;
  UnixAcceptor& operator=(const UnixAcceptor&) = delete;

  // Begins to accept. REQUIRES: called once.
  void Start(Handler handler);
  // Closes and removes the socket, and gives the lock up. Accepted connections go on. Idempotent.
  void Stop();

  const std::string& path() const { return options_.path; }

 private:
  // A connection that was handed over, known by what its descriptor refers to: when the number is
  // closed or means another socket, it has ended.
  struct Connection {
    int fd;
    ino_t inode;
    bool IsOpen() const;
  };

  // Lets one message of its kind through each minute.
  class LogLimit {
   public:
    bool IsDue();

   private:
    std::optional<std::chrono::steady_clock::time_point> last_;
  };

  explicit UnixAcceptor(const Options& options) : options_(options) {}

  absl::Status Lock();
  absl::Status Bind();
  void Run();
  // Accepts what is queued. False when it must wait because descriptors or memory are short.
  bool AcceptQueued();
  void Take(UniqueFd connection);
  // Whether one more connection is within the limit.
  bool HasRoom();

  const Options options_;
  UniqueFd lock_;
  UniqueFd listening_;
  UniqueFd wake_;         // an eventfd: readable once it must stop
  struct stat bound_ {};  // of the socket file
  std::thread thread_;

  // Used by its thread alone.
  Handler handler_;
  std::vector<Connection> connections_;
  LogLimit accept_log_;
  LogLimit limit_log_;
};

}  // namespace sidelb::rpc
