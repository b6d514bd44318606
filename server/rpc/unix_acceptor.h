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

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "dataplane/base/unique_fd.h"
#include "server/rpc/accept_loop.h"

namespace sidelb::rpc {

class UnixAcceptor {
 public:
  struct Options {
    std::string path;
    // Connections that may be open at a time; more are closed at once.
    size_t max_connections = 256;
    size_t max_per_user = 0;  // 0 = no bound of its own
    mode_t mode = 0660;
    // How messages call it, and the argument that puts it elsewhere.
    std::string what = "the control endpoint";
    std::string argument = "--control";
    std::string thread_name = "slb-accept";
  };
  using Handler = AcceptLoop::Handler;

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
  AcceptLoop::Counts counts() const { return loop_.counts(); }

 private:
  explicit UnixAcceptor(const Options& options);

  absl::Status Lock();
  absl::Status Bind();

  const Options options_;
  UniqueFd lock_;
  struct stat bound_ {};  // of the socket file
  AcceptLoop loop_;
};

}  // namespace sidelb::rpc
