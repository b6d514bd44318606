#include "bench/load/backend.h"

#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include <cerrno>
#include <string>
#include <utility>

#include "bench/load/stream.h"

namespace sidelb::bench {

class Backend::Listener : public Actor {
 public:
  Listener(Backend& backend, const Address& address)
      : backend_(backend),
        fd_(socket(address.family(), SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)) {
    const int on = 1;
    setsockopt(fd_.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    setsockopt(fd_.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));  // inherited
    if (bind(fd_.get(), address.data(), address.size()) != 0 || listen(fd_.get(), 4096) != 0) {
      Fail(("backend " + address.ToString()).c_str());
    }
    backend_.loop_.Watch(fd_.get(), EPOLLIN, this);
  }

  void OnEvents(uint32_t) override {
    for (;;) {
      UniqueFd fd(accept4(fd_.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
      if (!fd.is_open()) {
        if (errno == EINTR || errno == ECONNABORTED) continue;
        if (errno == EAGAIN) return;
        Fail("accept4");
      }
      backend_.Add(std::move(fd));
    }
  }

 private:
  Backend& backend_;
  UniqueFd fd_;
};

class Backend::Connection : public Actor {
 public:
  Connection(Backend& backend, UniqueFd fd)
      : backend_(backend), service_(backend.service_), fd_(std::move(fd)) {}
  int fd() const { return fd_.get(); }

  void OnEvents(uint32_t) override {
    const Flow flow = Serve();
    if (flow == Flow::kOpen) {
      has_served_ = true;
      return;
    }
    // A health check resets without a word.
    if (flow == Flow::kReset && service_ == Service::kEcho && has_served_) {
      ++backend_.tally_.errors;
    }
    fd_.Reset();
    backend_.Remove(this);
  }

 private:
  Flow Serve() {
    switch (service_) {
      case Service::kEcho:
        return EchoOnce(fd_.get());
      case Service::kSource:
        return SendBulk(fd_.get());
      case Service::kSink:
        return ReceiveBulk(fd_.get(), backend_.tally_.bytes);
    }
    return Flow::kReset;
  }

  Backend& backend_;
  const Service service_;
  UniqueFd fd_;
  bool has_served_ = false;
};

Backend::Backend(EventLoop& loop, Tally& tally, const std::vector<Address>& addresses)
    : loop_(loop), tally_(tally) {
  for (const Address& address : addresses) {
    listeners_.push_back(std::make_unique<Listener>(*this, address));
  }
}

Backend::~Backend() = default;

void Backend::Add(UniqueFd fd) {
  auto connection = std::make_unique<Connection>(*this, std::move(fd));
  Connection* raw = connection.get();
  connections_.emplace(raw, std::move(connection));
  loop_.Watch(raw->fd(), service_ == Service::kSource ? EPOLLOUT : EPOLLIN, raw);
}

void Backend::Remove(Connection* connection) {
  auto node = connections_.extract(connection);
  loop_.Retire(std::move(node.mapped()));
}

}  // namespace sidelb::bench
