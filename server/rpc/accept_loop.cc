#include "server/rpc/accept_loop.h"

#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "dataplane/base/status.h"
#include "fmt/format.h"
#include "server/rpc/source_name.h"
#include "spdlog/spdlog.h"

namespace sidelb::rpc {
namespace {

constexpr int kBackOffMs = 100;
constexpr std::chrono::minutes kLogInterval{1};

}  // namespace

bool AcceptLoop::LogLimit::IsDue() {
  const auto now = Clock::now();
  if (last_ && now - *last_ < kLogInterval) return false;
  last_ = now;
  return true;
}

bool AcceptLoop::Connection::IsOpen() const {
  struct stat found;
  return fstat(fd, &found) == 0 && S_ISSOCK(found.st_mode) && found.st_ino == inode;
}

AcceptLoop::AcceptLoop(Options options) : options_(std::move(options)), rate_(options_.max_rate) {}

AcceptLoop::~AcceptLoop() { Stop(); }

absl::Status AcceptLoop::Listen(UniqueFd listening) {
  wake_.Reset(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!wake_.is_open()) return ErrnoToStatus(errno, "eventfd");
  listening_ = std::move(listening);
  return absl::OkStatus();
}

void AcceptLoop::Start(Handler handler) {
  handler_ = std::move(handler);
  thread_ = std::thread([this] { Run(); });
  pthread_setname_np(thread_.native_handle(), options_.thread_name.c_str());
}

void AcceptLoop::Stop() {
  if (thread_.joinable()) {
    eventfd_write(wake_.get(), 1);
    thread_.join();
  }
  listening_.Reset();
}

AcceptLoop::Counts AcceptLoop::counts() const {
  return {full_.load(), source_full_.load(), too_fast_.load()};
}

void AcceptLoop::Run() {
  bool is_short = false;
  while (true) {
    pollfd waits[2] = {{wake_.get(), POLLIN, 0}, {listening_.get(), POLLIN, 0}};
    // While something is short the queue would keep poll() from waiting.
    const int count = poll(waits, is_short ? 1 : 2, is_short ? kBackOffMs : -1);
    if (count < 0 && errno != EINTR) {
      spdlog::error("{} accepts no more: {}", options_.name, std::strerror(errno));
      return;
    }
    if (count > 0 && waits[0].revents != 0) return;
    is_short = !AcceptQueued();
  }
}

bool AcceptLoop::AcceptQueued() {
  while (true) {
    sockaddr_storage peer{};
    socklen_t size = sizeof(peer);
    UniqueFd fd(accept4(listening_.get(), reinterpret_cast<sockaddr*>(&peer), &size,
                        SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (fd.is_open()) {
      Accepted accepted{.fd = std::move(fd)};
      if (peer.ss_family == AF_INET || peer.ss_family == AF_INET6) {
        accepted.source =
            SourceName(Address::FromSockaddr(reinterpret_cast<const sockaddr*>(&peer), size));
      } else {
        ucred credentials{};
        socklen_t length = sizeof(credentials);
        // Without credentials nobody knows whom its calls would be made for.
        if (getsockopt(accepted.fd.get(), SOL_SOCKET, SO_PEERCRED, &credentials, &length) != 0) {
          continue;
        }
        accepted.uid = credentials.uid;
        accepted.source = fmt::format("user {}", credentials.uid);
        spdlog::debug("{}: connection from process {} of user {}", options_.name, credentials.pid,
                      credentials.uid);
      }
      Take(std::move(accepted));
      continue;
    }
    if (errno == EAGAIN) return true;
    if (errno == EINTR || errno == ECONNABORTED) continue;
    if (accept_log_.IsDue()) {
      spdlog::warn("{} cannot accept: {}", options_.name, std::strerror(errno));
    }
    return false;
  }
}

bool AcceptLoop::HasRoom() {
  if (connections_.size() < options_.max_connections) return true;
  std::erase_if(connections_, [](const Connection& one) { return !one.IsOpen(); });
  return connections_.size() < options_.max_connections;
}

bool AcceptLoop::HasRoomFor(const std::string& source) {
  if (options_.max_per_source == 0) return true;
  const auto is_of = [&source](const Connection& one) { return one.source == source; };
  const auto count = [&] {
    return static_cast<size_t>(std::count_if(connections_.begin(), connections_.end(), is_of));
  };
  if (count() < options_.max_per_source) return true;
  std::erase_if(connections_,
                [&is_of](const Connection& one) { return is_of(one) && !one.IsOpen(); });
  return count() < options_.max_per_source;
}

void AcceptLoop::Take(Accepted connection) {
  struct stat found;
  if (fstat(connection.fd.get(), &found) != 0) return;
  if (!rate_.Take(connection.source, Clock::now())) {
    too_fast_.fetch_add(1, std::memory_order_relaxed);
    if (too_fast_log_.IsDue()) {
      spdlog::warn("{}: more than {} connections in a second come from {}; more are refused",
                   options_.name, options_.max_rate, connection.source);
    }
    return;
  }
  if (!HasRoomFor(connection.source)) {
    source_full_.fetch_add(1, std::memory_order_relaxed);
    if (source_full_log_.IsDue()) {
      spdlog::warn("{}: {} connections are open from {}; more are refused", options_.name,
                   options_.max_per_source, connection.source);
    }
    return;
  }
  if (!HasRoom()) {
    full_.fetch_add(1, std::memory_order_relaxed);
    if (full_log_.IsDue()) {
      spdlog::warn("{} is at its limit of {} connections; more are refused", options_.name,
                   options_.max_connections);
    }
    return;
  }
  connections_.push_back({connection.fd.get(), found.st_ino, connection.source});
  handler_(std::move(connection));
}

}  // namespace sidelb::rpc
