#include "server/status_socket.h"

#include <sys/socket.h>

#include <algorithm>
#include <cstring>
#include <mutex>
#include <utility>

#include "absl/time/clock.h"
#include "fmt/format.h"
#include "server/status_check.h"
#include "spdlog/spdlog.h"

namespace sidelb::server {
namespace {

constexpr size_t kMaxConnections = 16;
constexpr absl::Duration kReadLimit = absl::Seconds(2);

// Never blocks: the buffer of a new connection has room for it.
void Tell(UniqueFd connection, bool is_healthy) {
  const char* const answer = is_healthy ? kHealthy : kUnhealthy;
  send(connection.get(), answer, std::strlen(answer), MSG_NOSIGNAL | MSG_DONTWAIT);
  shutdown(connection.get(), SHUT_WR);
  // The original's clients write a byte first; left unread, it would turn the end into a reset.
  char ignored[64];
  while (recv(connection.get(), ignored, sizeof(ignored), MSG_DONTWAIT) > 0) {
  }
}

}  // namespace

bool IsHealthy(const control::StateView& view) {
  bool has_listener = false;
  for (const control::StateView::ListenerEntry& listener : view.listeners) {
    if (listener.object->spec.disabled) continue;
    has_listener = true;
    if (!listener.status.is_bound) continue;
    const auto pool = std::find_if(view.pools.begin(), view.pools.end(),
                                   [&listener](const control::StateView::PoolEntry& one) {
                                     return one.object->spec.name == listener.object->spec.pool;
                                   });
    if (pool != view.pools.end() && pool->status.takes_sessions) return true;
  }
  return !has_listener;
}

class StatusSocket::Desk : public std::enable_shared_from_this<Desk> {
 public:
  // Before the first Take().
  void Start(control::Controller* controller) { controller_ = controller; }

  void SetNotServing() {
    const std::lock_guard lock(mutex_);
    is_serving_ = false;
  }

  // slb-status.
  void Take(UniqueFd connection) {
    {
      const std::lock_guard lock(mutex_);
      if (is_serving_) {
        waiting_.push_back(std::move(connection));
        if (std::exchange(is_asking_, true)) return;
      }
    }
    if (connection.is_open()) {
      Tell(std::move(connection), false);
    } else {
      Ask();
    }
  }

 private:
  void Ask() {
    controller_->AskShards([self = shared_from_this()](bool are_alive) {
      if (!are_alive) return self->Answer(false);
      self->controller_->GetState(
          {.with_backends = false}, 0, absl::Now() + kReadLimit,
          [self](const auto& view) { self->Answer(view.ok() && IsHealthy(**view)); });
    });
  }

  // The control thread; after its end whoever asks.
  void Answer(bool is_healthy) {
    std::vector<UniqueFd> waiting;
    {
      const std::lock_guard lock(mutex_);
      waiting.swap(waiting_);
      is_asking_ = false;
      is_healthy = is_healthy && is_serving_;
    }
    for (UniqueFd& connection : waiting) Tell(std::move(connection), is_healthy);
  }

  control::Controller* controller_ = nullptr;
  std::mutex mutex_;
  bool is_serving_ = true;         // guarded by mutex_
  bool is_asking_ = false;         // guarded by mutex_
  std::vector<UniqueFd> waiting_;  // guarded by mutex_
};

absl::StatusOr<std::unique_ptr<StatusSocket>> StatusSocket::Open(const std::string& path) {
  auto acceptor = rpc::UnixAcceptor::Open({.path = path,
                                           .max_connections = kMaxConnections,
                                           .mode = 0666,
                                           .what = "the status socket",
                                           .argument = "--status-socket",
                                           .thread_name = "slb-status"});
  if (!acceptor.ok()) return acceptor.status();
  return std::unique_ptr<StatusSocket>(new StatusSocket(*std::move(acceptor)));
}

std::unique_ptr<StatusSocket> StatusSocket::OpenDefault(const std::vector<std::string>& paths) {
  std::vector<std::string> reasons;
  for (const std::string& path : paths) {
    auto socket = Open(path);
    if (socket.ok()) return *std::move(socket);
    reasons.emplace_back(socket.status().message());
  }
  spdlog::warn("no place for the status socket ({}); name one with --status-socket PATH, or none",
               fmt::join(reasons, "; "));
  return nullptr;
}

StatusSocket::StatusSocket(std::unique_ptr<rpc::UnixAcceptor> acceptor)
    : acceptor_(std::move(acceptor)), desk_(std::make_shared<Desk>()) {}

StatusSocket::~StatusSocket() { Stop(); }

void StatusSocket::Start(control::Controller* controller) {
  desk_->Start(controller);
  acceptor_->Start([desk = desk_.get()](rpc::AcceptLoop::Accepted connection) {
    desk->Take(std::move(connection.fd));
  });
}

void StatusSocket::SetNotServing() { desk_->SetNotServing(); }

void StatusSocket::Stop() { acceptor_->Stop(); }

}  // namespace sidelb::server
