#include "bench/load/udp_backend.h"

#include <sys/epoll.h>
#include <sys/socket.h>

namespace sidelb::bench {

class UdpBackend::Socket : public Actor {
 public:
  Socket(UdpBackend& all, EventLoop& loop, const Address& address)
      : all_(all), fd_(OpenUdp(address)) {
    if (bind(fd_.get(), address.data(), address.size()) != 0) {
      Fail(("UDP backend " + address.ToString()).c_str());
    }
    loop.Watch(fd_.get(), EPOLLIN, this);
  }
  int fd() const { return fd_.get(); }

  void OnEvents(uint32_t) override {
    const size_t count = all_.batch_.Receive(fd());
    all_.tally_.errors += count - all_.batch_.SendBack(fd(), count);
  }

 private:
  UdpBackend& all_;
  UniqueFd fd_;
};

UdpBackend::UdpBackend(EventLoop& loop, Tally& tally, const std::vector<Address>& addresses)
    : tally_(tally) {
  for (const Address& address : addresses) {
    sockets_.push_back(std::make_unique<Socket>(*this, loop, address));
  }
}

UdpBackend::~UdpBackend() = default;

void UdpBackend::set_segments(bool on) {
  for (const auto& socket : sockets_) SetGro(socket->fd(), on);
}

}  // namespace sidelb::bench
