// UserConnections: how connections of a unix socket come into gRPC, so that each call is known by
// the user whose process made it. gRPC 1.51 takes a descriptor and forgets whose it is (the peer of
// all of them is "unix:"). Here each user has a door of its own, an external acceptor whose
// credentials write the user's number into the authentication context of what comes through it.
//
// A door belongs to one user for as long as the daemon runs, so that no call, however late it is
// looked at, can be taken for another user's. The first kMaxUsers users get one: root and the
// daemon's own always.
//
// Thread safety: Hand() by one thread; UserOf() by any.
// Ownership: it must live until the server has stopped.
#pragma once

#include <grpcpp/grpcpp.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "dataplane/base/unique_fd.h"

namespace sidelb::rpc {

class UserConnections {
 public:
  // Adds its doors. REQUIRES: `builder` has not started its server.
  explicit UserConnections(grpc::ServerBuilder* builder);
  ~UserConnections();
  UserConnections(const UserConnections&) = delete;
  UserConnections& operator=(const UserConnections&) = delete;

  // Gives the connection to gRPC. False when there is no door left; then it is closed.
  bool Hand(UniqueFd connection, uint32_t uid);

 private:
  class Door;

  std::vector<std::unique_ptr<Door>> doors_;
  size_t used_ = 0;  // the first ones
};

// Whose call it is, if it came through a door.
std::optional<uint32_t> UserOf(const grpc::AuthContext& context);

}  // namespace sidelb::rpc
