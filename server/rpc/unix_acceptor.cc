#include "server/rpc/unix_acceptor.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <cstring>
#include <string_view>
#include <utility>

#include "dataplane/base/status.h"
#include "fmt/format.h"
#include "spdlog/spdlog.h"

namespace sidelb::rpc {
namespace {

constexpr size_t kMaxPathBytes = sizeof(sockaddr_un::sun_path) - 1;
constexpr int kBacklog = 128;

sockaddr_un SocketAddress(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, path.data(), path.size());
  return address;
}

// Whether somebody listens at `path`, without our lock.
bool IsAlive(const std::string& path) {
  const UniqueFd fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  const sockaddr_un address = SocketAddress(path);
  if (connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0) {
    return true;
  }
  return errno == EAGAIN;  // its queue is full
}

// " (process 123)" from the text of a lock file; "" when it says nothing of use.
std::string HolderText(int lock) {
  char text[16] = {};
  const ssize_t size = pread(lock, text, sizeof(text), 0);
  long pid = 0;
  if (size <= 0 || std::from_chars(text, text + size, pid).ec != std::errc() || pid <= 0) return "";
  return fmt::format(" (process {})", pid);
}

}  // namespace

UnixAcceptor::UnixAcceptor(const Options& options)
    : options_(options),
      loop_({.name = fmt::format("{} {}", options.what, options.path),
             .thread_name = options.thread_name,
             .max_connections = options.max_connections,
             .max_per_source = options.max_per_user}) {}

absl::StatusOr<std::unique_ptr<UnixAcceptor>> UnixAcceptor::Open(const Options& options) {
  if (options.path.empty()) return absl::InvalidArgumentError("the path of the socket is empty");
  if (options.path.size() > kMaxPathBytes) {
    return absl::InvalidArgumentError(
        fmt::format("{}: the path has {} bytes, more than the {} that a socket address holds; "
                    "choose a shorter one",
                    options.path, options.path.size(), kMaxPathBytes));
  }
  std::unique_ptr<UnixAcceptor> acceptor(new UnixAcceptor(options));
  if (absl::Status status = acceptor->Lock(); !status.ok()) return status;
  if (absl::Status status = acceptor->Bind(); !status.ok()) return status;
  return acceptor;
}

UnixAcceptor::~UnixAcceptor() { Stop(); }

absl::Status UnixAcceptor::Lock() {
  const std::string path = fmt::format("{}.lock", options_.path);
  UniqueFd lock(open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0660));
  if (!lock.is_open()) return ErrnoToStatus(errno, path);
  if (flock(lock.get(), LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK) return ErrnoToStatus(errno, path);
    return absl::AlreadyExistsError(
        fmt::format("{} belongs to another sidelb that is running{}; stop it, or choose another "
                    "endpoint with {}",
                    options_.path, HolderText(lock.get()), options_.argument));
  }
  // For the message of the next one that comes. Nothing depends on it.
  const std::string pid = fmt::format("{}\n", getpid());
  if (ftruncate(lock.get(), 0) != 0 || pwrite(lock.get(), pid.data(), pid.size(), 0) < 0) {
    spdlog::debug("cannot write to {}: {}", path, std::strerror(errno));
  }
  lock_ = std::move(lock);
  return absl::OkStatus();
}

absl::Status UnixAcceptor::Bind() {
  const std::string& path = options_.path;
  struct stat found;
  if (lstat(path.c_str(), &found) == 0) {
    if (!S_ISSOCK(found.st_mode)) {
      return absl::AlreadyExistsError(
          fmt::format("{} exists and is no socket; remove it, or choose another path", path));
    }
    if (IsAlive(path)) {
      return absl::AlreadyExistsError(fmt::format(
          "{} belongs to another program that listens there; choose another path", path));
    }
    if (unlink(path.c_str()) != 0) return ErrnoToStatus(errno, fmt::format("removing {}", path));
  }
  UniqueFd fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd.is_open()) return ErrnoToStatus(errno, path);
  const sockaddr_un address = SocketAddress(path);
  if (bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0) {
    return ErrnoToStatus(errno, path);
  }
  // Before it listens nobody can connect, so that the mode never is wider than wanted.
  if (chmod(path.c_str(), options_.mode) != 0 || lstat(path.c_str(), &bound_) != 0 ||
      listen(fd.get(), kBacklog) != 0) {
    const int error = errno;
    unlink(path.c_str());
    return ErrnoToStatus(error, path);
  }
  return loop_.Listen(std::move(fd));
}

void UnixAcceptor::Start(Handler handler) { loop_.Start(std::move(handler)); }

void UnixAcceptor::Stop() {
  if (!loop_.is_listening()) return;
  // Only our own: somebody may have put another one there by hand.
  struct stat found;
  if (lstat(options_.path.c_str(), &found) == 0 && found.st_dev == bound_.st_dev &&
      found.st_ino == bound_.st_ino) {
    unlink(options_.path.c_str());
  }
  loop_.Stop();
  lock_.Reset();
}

}  // namespace sidelb::rpc
