// HealthChecker: probes backends on a thread of its own and tells the control thread what it found.
//
// Bounds: `max_in_flight` probes at once, `starts_per_second`; what is due beyond that waits its
// turn. Intervals are spread by +-10 %. An unhealthy backend is probed ever more rarely, down to
// every 10 s. Where a probe is a connect, a healthy backend is not probed while traffic connects to
// it: that is a good result too.
// Results reach control in batches: a change of health within 20 ms, the rest within 100 ms.
//
// Thread safety: Start(), Stop() and the destructor by the owner; Put() and Remove() by any thread.
// `on_reports` runs on the control executor. Ownership: the owner; a target's Backend is shared.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "dataplane/base/counters.h"
#include "dataplane/health/hysteresis.h"
#include "dataplane/health/probe.h"
#include "dataplane/net/event_loop.h"
#include "dataplane/pool/backend.h"

namespace sidelb {

using ProbeId = uint64_t;  // given by the caller; one per backend

// Raised by the checker's thread, read by any. Whoever puts a target keeps it, so that it goes on
// counting when the target is put anew.
struct ProbeCounters {
  Counter started;
  Counter failed;  // those that say something about the target
};

struct ProbeTarget {
  ProbeId id = 0;
  Address address;                         // where to probe
  std::shared_ptr<const Backend> backend;  // whose traffic counts; may be nullptr
  std::shared_ptr<const ProbeSettings> settings;
  std::shared_ptr<ProbeCounters> counters = nullptr;  // may be nullptr
  Health known = Health::kUnknown;                    // before the first probe of this address
};

// What is known of one target after a probe.
struct HealthReport {
  ProbeId id = 0;
  Health health = Health::kUnknown;
  bool changed = false;  // `health` did
  ProbeReason reason = ProbeReason::kOk;
  std::string detail;
  std::chrono::system_clock::time_point time;
  std::chrono::microseconds latency{0};
  uint32_t consecutive_good = 0;
  uint32_t consecutive_bad = 0;
  uint64_t transitions = 0;
};

class HealthChecker {
 public:
  struct Options {
    boost::asio::any_io_executor control;
    std::function<void(std::vector<HealthReport>)> on_reports;
    uint32_t max_in_flight = 0;  // 0 = min(512, 1/32 of RLIMIT_NOFILE)
    uint32_t starts_per_second = 2'000;
  };

  static absl::StatusOr<std::unique_ptr<HealthChecker>> Start(Options options);
  ~HealthChecker();  // stops
  HealthChecker(const HealthChecker&) = delete;
  HealthChecker& operator=(const HealthChecker&) = delete;

  // Adds targets, which are probed at once, or changes them, which keeps what is known of them
  // unless their address changed: then `known` is.
  void Put(std::vector<ProbeTarget> targets);
  void Remove(std::vector<ProbeId> ids);
  void Stop();

 private:
  class Target;
  friend class Target;

  explicit HealthChecker(Options options);
  void PutNow(std::vector<ProbeTarget> targets);
  void OnDue(Target* target);
  void Pump();
  void OnResult(Target* target, const ProbeResult& result);
  void Report(HealthReport report);
  double NextJitter();

  // Starts a batch or a pump at a deadline.
  struct Alarm final : public TimerTarget {
    std::function<void()> ring;
    void OnTimer() override { ring(); }
  };

  Options options_;
  EventLoop loop_;
  absl::flat_hash_map<ProbeId, std::unique_ptr<Target>> targets_;
  std::deque<ProbeId> due_;
  uint32_t in_flight_ = 0;
  double tokens_ = 0;
  uint64_t tokens_ms_ = 0;
  uint64_t random_ = 0x9e3779b97f4a7c15u;
  Alarm pump_alarm_;
  Alarm report_alarm_;
  std::vector<HealthReport> reports_;
};

}  // namespace sidelb
