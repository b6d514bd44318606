#include "server/rpc/read_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>

#include "dataplane/base/status.h"
#include "dataplane/base/unique_fd.h"
#include "fmt/format.h"

namespace sidelb::rpc {

absl::StatusOr<std::string> ReadFile(const std::string& path, size_t limit) {
  // Not blocking: opening a pipe that nobody writes to must not stop the daemon.
  const UniqueFd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (!fd.is_open()) return ErrnoToStatus(errno, path);
  std::string text;
  char buffer[8'192];
  while (true) {
    const ssize_t size = read(fd.get(), buffer, sizeof(buffer));
    if (size < 0 && errno == EINTR) continue;
    if (size < 0) return ErrnoToStatus(errno, path);
    if (size == 0) return text;
    text.append(buffer, static_cast<size_t>(size));
    if (text.size() > limit) {
      return absl::InvalidArgumentError(
          fmt::format("{}: has more than the {} bytes that are allowed", path, limit));
    }
  }
}

}  // namespace sidelb::rpc
