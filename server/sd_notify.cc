#include "server/sd_notify.h"

#include <sys/socket.h>
#include <sys/un.h>

#include <cerrno>
#include <cstddef>
#include <cstring>

#include "dataplane/base/status.h"
#include "dataplane/base/unique_fd.h"
#include "fmt/format.h"

namespace sidelb::server {

absl::Status NotifySystemd(std::string_view socket_name, std::string_view state) {
  if (socket_name.empty()) return absl::OkStatus();
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if ((socket_name[0] != '/' && socket_name[0] != '@') ||
      socket_name.size() >= sizeof(address.sun_path)) {
    return absl::InvalidArgumentError(
        fmt::format("NOTIFY_SOCKET={}: allowed: an absolute path or @name, of at most {} bytes",
                    socket_name, sizeof(address.sun_path) - 1));
  }
  std::memcpy(address.sun_path, socket_name.data(), socket_name.size());
  // A name that begins with a zero byte is abstract, and as long as the length says.
  if (socket_name[0] == '@') address.sun_path[0] = '\0';
  const auto length = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + socket_name.size());
  const UniqueFd fd(socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd.is_open()) return ErrnoToStatus(errno, "NOTIFY_SOCKET");
  if (sendto(fd.get(), state.data(), state.size(), MSG_NOSIGNAL,
             reinterpret_cast<const sockaddr*>(&address), length) < 0) {
    return ErrnoToStatus(errno, fmt::format("NOTIFY_SOCKET={}", socket_name));
  }
  return absl::OkStatus();
}

}  // namespace sidelb::server
