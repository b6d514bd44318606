#include "server/status_check.h"

#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <string_view>

#include "absl/status/statusor.h"
#include "absl/time/clock.h"
#include "dataplane/base/status.h"
#include "dataplane/base/unique_fd.h"
#include "fmt/format.h"

namespace sidelb::server {
namespace {

constexpr char kOriginalPath[] = "/run/sidelb.sock";
constexpr char kName[] = "status.sock";
constexpr size_t kMaxAnswer = 64;

// The blocking calls of `fd` end with EAGAIN at `deadline`.
void LimitBy(const UniqueFd& fd, absl::Time deadline) {
  const absl::Duration left = std::max(deadline - absl::Now(), absl::Milliseconds(1));
  const timeval limit = absl::ToTimeval(left);
  setsockopt(fd.get(), SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
  setsockopt(fd.get(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
}

absl::StatusOr<UniqueFd> Connect(const std::string& path, absl::Time deadline) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof(address.sun_path)) {
    return absl::InvalidArgumentError(fmt::format("{}: the path is too long", path));
  }
  std::memcpy(address.sun_path, path.data(), path.size());
  UniqueFd fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!fd.is_open()) return ErrnoToStatus(errno, path);
  LimitBy(fd, deadline);
  if (connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0) {
    return ErrnoToStatus(errno, path);
  }
  return fd;
}

// All that comes until the end of the first line or of the connection.
absl::StatusOr<std::string> Read(const UniqueFd& fd, absl::Time deadline) {
  std::string answer;
  while (answer.size() < kMaxAnswer && answer.find('\n') == std::string::npos) {
    char text[kMaxAnswer];
    LimitBy(fd, deadline);
    const ssize_t size = recv(fd.get(), text, sizeof(text), 0);
    if (size == 0) break;
    if (size < 0 && errno == EINTR) continue;
    if (size < 0) return ErrnoToStatus(errno, "");
    answer.append(text, static_cast<size_t>(size));
  }
  return answer;
}

StatusReport Error(std::string_view why) { return {.text = fmt::format("sidelb: {}\n", why)}; }

}  // namespace

std::vector<std::string> StatusSocketPaths(const std::string& control_path) {
  std::vector<std::string> paths = {kOriginalPath};
  if (control_path.empty()) return paths;
  const size_t slash = control_path.rfind('/');
  paths.push_back(slash == std::string::npos ? kName : control_path.substr(0, slash + 1) + kName);
  return paths;
}

std::vector<std::string> StatusSearchPaths(const std::vector<std::string>& control_paths) {
  std::vector<std::string> paths = {kOriginalPath};
  for (const std::string& control_path : control_paths) {
    paths.push_back(StatusSocketPaths(control_path).back());
  }
  return paths;
}

StatusReport AskStatus(const StatusCheck& check) {
  const absl::Time deadline = absl::Now() + check.timeout;
  std::vector<std::string> reasons;
  for (const std::string& path : check.paths) {
    const absl::StatusOr<UniqueFd> fd = Connect(path, deadline);
    if (!fd.ok()) {
      reasons.emplace_back(fd.status().message());
      continue;
    }
    const absl::StatusOr<std::string> answer = Read(*fd, deadline);
    if (!answer.ok() || answer->empty()) {
      return Error(fmt::format("the status socket {} gave no answer within {}", path,
                               absl::FormatDuration(check.timeout)));
    }
    if (*answer == kHealthy || *answer == kUnhealthy) {
      return {.is_healthy = *answer == kHealthy, .is_answer = true, .text = *answer};
    }
    return Error(fmt::format("{} is no status socket of sidelb: it answered '{}'", path, *answer));
  }
  return Error(
      fmt::format("no status socket ({}); is sidelb running? Name its --status-socket with "
                  "--health-check-uds PATH",
                  fmt::join(reasons, "; ")));
}

}  // namespace sidelb::server
