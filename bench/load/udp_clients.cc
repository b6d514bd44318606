#include "bench/load/udp_clients.h"

#include <sys/epoll.h>
#include <sys/socket.h>

#include <cstring>
#include <utility>

namespace sidelb::bench {
namespace {

// What a datagram begins with. It fits into the smallest one.
struct Stamp {
  uint64_t sent_ns;
  uint32_t slot;
};

}  // namespace

// Has `depth` slots; each is one datagram under way.
class UdpClients::Flow : public Actor {
 public:
  Flow(UdpClients& all, size_t place, UniqueFd fd)
      : all_(all),
        place_(place),
        fd_(std::move(fd)),
        sent_ns_(all.job_.depth),
        is_away_(all.job_.depth) {
    if (all_.job_.segments) SetGro(fd_.get(), true);
  }
  int fd() const { return fd_.get(); }

  void SendAll() {
    returned_.clear();
    for (size_t slot = 0; slot < sent_ns_.size(); ++slot) returned_.push_back(slot);
    SendReturned();
  }

  void OnEvents(uint32_t) override {
    const Scenario scenario = all_.job_.scenario;
    // Edge-triggered: until nothing is there.
    while (const size_t count = all_.batch_.Receive(fd())) {
      returned_.clear();
      const uint64_t now = NowNanoseconds();
      for (size_t i = 0; i < count; ++i) Take(i, now);
      if (scenario == Scenario::kUdpEcho) SendReturned();
    }
    if (away_ > 0 || all_.is_stopping_) return;
    if (scenario == Scenario::kUdpBurst) {
      all_.tally_.latency.Record(NowNanoseconds() - sent_ns_.front());
      SendAll();
    } else if (scenario == Scenario::kUdpSession) {
      fd_.Reset();
      all_.Replace(place_);
    }
  }

 private:
  void Take(size_t piece, uint64_t now) {
    UdpBatch& batch = all_.batch_;
    for (size_t begin = 0; begin < batch.size(piece); begin += batch.segment(piece)) {
      Stamp stamp;
      std::memcpy(&stamp, batch.data(piece) + begin, sizeof(stamp));
      const bool is_known = stamp.slot < sent_ns_.size() && is_away_[stamp.slot] &&
                            sent_ns_[stamp.slot] == stamp.sent_ns &&
                            batch.segment(piece) == all_.job_.size;
      if (!is_known) {
        ++all_.tally_.errors;  // came twice, cut, or to the wrong flow
        continue;
      }
      is_away_[stamp.slot] = false;
      --away_;
      --all_.under_way_;
      ++all_.tally_.datagrams;
      if (all_.job_.scenario != Scenario::kUdpBurst)
        all_.tally_.latency.Record(now - stamp.sent_ns);
      returned_.push_back(stamp.slot);
    }
  }

  // The slots in `returned_`, at most `depth` of them.
  void SendReturned() {
    if (all_.is_stopping_ || returned_.empty()) return;
    static char data[kMaxDepth * kMaxDatagramBytes];
    const uint64_t now = NowNanoseconds();
    for (size_t i = 0; i < returned_.size(); ++i) {
      const Stamp stamp{now, static_cast<uint32_t>(returned_[i])};
      std::memcpy(data + i * all_.job_.size, &stamp, sizeof(stamp));
      sent_ns_[returned_[i]] = now;
      is_away_[returned_[i]] = true;
    }
    away_ += returned_.size();
    all_.under_way_ += returned_.size();
    const size_t sent =
        SendDatagrams(fd(), data, returned_.size(), all_.job_.size, all_.job_.segments);
    all_.tally_.errors += returned_.size() - sent;
  }

  UdpClients& all_;
  const size_t place_;
  UniqueFd fd_;
  size_t away_ = 0;
  std::vector<uint64_t> sent_ns_;  // by slot
  std::vector<bool> is_away_;
  std::vector<size_t> returned_;
};

UdpClients::UdpClients(EventLoop& loop, Tally& tally, const Job& job, std::vector<Address> sources)
    : loop_(loop),
      tally_(tally),
      job_(job),
      proxy_(*Address::Parse(job.proxy)),
      sources_(std::move(sources)),
      flows_(job.connections) {
  for (size_t place = 0; place < flows_.size(); ++place) Open(place);
}

UdpClients::~UdpClients() = default;

void UdpClients::Open(size_t place) {
  UniqueFd fd = OpenUdp(proxy_);
  if (!sources_.empty()) {
    const Address& source = sources_[next_source_++ % sources_.size()];
    if (bind(fd.get(), source.data(), source.size()) != 0) Fail("bind");
  }
  if (connect(fd.get(), proxy_.data(), proxy_.size()) != 0) Fail("connect");
  flows_[place] = std::make_unique<Flow>(*this, place, std::move(fd));
  Flow* const flow = flows_[place].get();
  loop_.Watch(flow->fd(), EPOLLIN | EPOLLET, flow);
  flow->SendAll();
}

void UdpClients::Replace(size_t place) {
  loop_.Retire(std::move(flows_[place]));
  Open(place);
}

}  // namespace sidelb::bench
