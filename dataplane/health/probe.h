// Probe: one attempt to find out whether a backend answers: a TCP connect, and if asked for, bytes
// to send and bytes that the answer must begin with; or the same over UDP. A connection is closed
// with RST, so that probing leaves no TIME_WAIT.
//
// Thread safety: the thread of its EventLoop. Ownership: Start() makes an object that owns itself
// and ends in the poller's graveyard after it has called `done` once, or after Cancel().
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "dataplane/base/address.h"
#include "dataplane/base/unique_fd.h"
#include "dataplane/net/event_loop.h"

namespace sidelb {

enum class ProbeKind : uint8_t {
  kTcpConnect,
  kSendExpect,  // over TCP
  kUdp,         // a datagram to send, one to expect
};

// What one pool asks of its backends.
struct ProbeSettings {
  ProbeKind kind = ProbeKind::kTcpConnect;
  std::chrono::milliseconds interval{2'000};
  std::chrono::milliseconds timeout{1'000};
  uint32_t rise = 2;
  uint32_t fall = 3;
  std::string send;
  std::string expect;  // what the answer must begin with
};

// The words of HealthReason in the proto.
enum class ProbeReason : uint8_t {
  kOk,
  kRefused,
  kTimeout,
  kUnreachable,
  kBadResponse,
  kNoReply,
  kLocal,  // a fault of this machine: says nothing about the backend
};

struct ProbeResult {
  ProbeReason reason = ProbeReason::kOk;
  std::string detail;  // "connect: ECONNREFUSED"; empty when good
  std::chrono::microseconds latency{0};
};

class Probe final : public PollTarget, public TimerTarget {
 public:
  using Done = std::function<void(ProbeResult)>;

  // `done` is called once, never from within Start(), unless Cancel() comes first.
  static Probe* Start(EventLoop& loop, const Address& address,
                      std::shared_ptr<const ProbeSettings> settings, Done done);
  // Ends it without a result; the object is gone.
  void Cancel();

  void OnEvents(uint32_t events, unsigned tag) override;
  void OnContinue() override;
  void OnTimer() override;

 private:
  Probe(EventLoop& loop, std::shared_ptr<const ProbeSettings> settings, Done done);
  ~Probe() override = default;

  void Fail(int error, const char* doing);
  void SendRest();
  void Receive();
  void Finish(ProbeReason reason, std::string detail);

  EventLoop& loop_;
  const std::shared_ptr<const ProbeSettings> settings_;
  Done done_;
  UniqueFd fd_;
  std::chrono::steady_clock::time_point started_;
  bool is_connected_ = false;
  int failed_at_start_ = 0;  // errno
  size_t sent_ = 0;
  std::string answer_;
};

}  // namespace sidelb
