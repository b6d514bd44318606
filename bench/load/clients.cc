#include "bench/load/clients.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include <cerrno>
#include <utility>

#include "bench/load/stream.h"

namespace sidelb::bench {
namespace {

constexpr size_t kIdleAtOnce = 64;

UniqueFd Connect(const Address& proxy, const Address* source) {
  UniqueFd fd(socket(proxy.family(), SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!fd.is_open()) Fail("socket");
  const int on = 1;
  setsockopt(fd.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
  if (source != nullptr) {
    // Lets the kernel choose the port at connect, when it knows the whole pair of addresses.
    setsockopt(fd.get(), IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof(on));
    if (bind(fd.get(), source->data(), source->size()) != 0) Fail("bind");
  }
  if (connect(fd.get(), proxy.data(), proxy.size()) != 0 && errno != EINPROGRESS) Fail("connect");
  return fd;
}

}  // namespace

class Clients::Connection : public Actor {
 public:
  Connection(Clients& clients, size_t place, UniqueFd fd, uint64_t began_ns)
      : clients_(clients), place_(place), fd_(std::move(fd)), began_ns_(began_ns) {}

  int fd() const { return fd_.get(); }
  size_t place() const { return place_; }

  void OnEvents(uint32_t events) override {
    if (fd_.is_open() && !Advance(events)) {
      fd_.Reset();
      clients_.Close(this);
    }
  }

 private:
  // false: the connection is over.
  bool Advance(uint32_t events) {
    if (!is_connected_) {
      if ((events & (EPOLLERR | EPOLLHUP)) != 0) return Broken();
      if ((events & (EPOLLIN | EPOLLOUT)) == 0) return true;
      is_connected_ = true;
      if (is_small()) return Send();
    }
    Tally& tally = clients_.tally_;
    switch (clients_.job_.scenario) {
      case Scenario::kDown:
        return ReceiveBulk(fd(), tally.bytes) == Flow::kOpen || Broken();
      case Scenario::kUp:
        return SendBulk(fd()) == Flow::kOpen || Broken();
      case Scenario::kSetup:
        return is_closing_ ? AwaitFin() : AwaitMessage();
      default:
        return AwaitMessage();
    }
  }

  bool Send() {
    if (clients_.job_.scenario == Scenario::kRtt) began_ns_ = NowNanoseconds();
    return SendMessage(fd(), clients_.job_.size) || Broken();
  }

  bool AwaitMessage() {
    if (ReceiveMessage(fd(), clients_.job_.size, received_) != Flow::kOpen) return Broken();
    if (received_ < clients_.job_.size) return true;
    received_ = 0;
    Tally& tally = clients_.tally_;
    switch (clients_.job_.scenario) {
      case Scenario::kSetup:
        is_closing_ = true;
        shutdown(fd(), SHUT_WR);
        return true;
      case Scenario::kRtt:
        ++tally.round_trips;
        tally.latency.Record(NowNanoseconds() - began_ns_);
        return Send();
      default:
        ++tally.greeted;
        clients_.OpenNext();
        return true;
    }
  }

  bool AwaitFin() {
    switch (ReceiveMessage(fd(), clients_.job_.size, received_)) {
      case Flow::kOpen:
        return received_ == 0 || Broken();  // nothing more was asked for
      case Flow::kFin:
        ++clients_.tally_.connections;
        clients_.tally_.latency.Record(NowNanoseconds() - began_ns_);
        return false;
      case Flow::kReset:
        return Broken();
    }
    return false;
  }

  bool Broken() {
    ++clients_.tally_.errors;
    return false;
  }

  bool is_small() const {
    return clients_.job_.scenario != Scenario::kDown && clients_.job_.scenario != Scenario::kUp;
  }

  Clients& clients_;
  const size_t place_;  // in connections_
  UniqueFd fd_;
  uint64_t began_ns_;  // the connection, or in kRtt the present round trip
  bool is_connected_ = false;
  bool is_closing_ = false;
  size_t received_ = 0;  // of the present message
};

Clients::Clients(EventLoop& loop, Tally& tally, const Job& job, std::vector<Address> sources)
    : loop_(loop),
      tally_(tally),
      job_(job),
      proxy_(*Address::Parse(job.proxy)),
      sources_(std::move(sources)) {
  connections_.resize(job_.connections);
  // A crowd of idle connections comes gradually, so that no queue overflows.
  const size_t at_once = job_.scenario == Scenario::kIdle ? kIdleAtOnce : job_.connections;
  for (size_t i = 0; i < at_once; ++i) OpenNext();
}

Clients::~Clients() = default;

void Clients::OpenNext() {
  if (opened_ < job_.connections) Open(opened_++);
}

void Clients::Open(size_t place) {
  const Address* source = nullptr;
  if (!sources_.empty()) {
    source = &sources_[next_source_++ % sources_.size()];
  }
  const uint64_t now = NowNanoseconds();
  connections_[place] = std::make_unique<Connection>(*this, place, Connect(proxy_, source), now);
  // Bulk is level-triggered: one call for each event, so that no stream holds up the others. The
  // small exchanges are edge-triggered, which saves a call to change the events after connecting.
  uint32_t events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET;
  if (job_.scenario == Scenario::kDown) events = EPOLLIN;
  if (job_.scenario == Scenario::kUp) events = EPOLLOUT;
  Connection* connection = connections_[place].get();
  loop_.Watch(connection->fd(), events, connection);
}

void Clients::Close(Connection* connection) {
  const size_t place = connection->place();
  loop_.Retire(std::move(connections_[place]));
  // A connection that broke is not tried again: a proxy that is gone would be hammered.
  if (job_.scenario == Scenario::kSetup && tally_.errors == 0) Open(place);
}

}  // namespace sidelb::bench
