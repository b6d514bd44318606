#include "dataplane/health/health_checker.h"

#include <sys/resource.h>

#include <algorithm>
#include <utility>

namespace sidelb {
namespace {

constexpr uint32_t kMaxInFlight = 512;
constexpr uint64_t kReportEveryMs = 100;
constexpr double kBurst = 50;  // starts
constexpr uint64_t kMaxBackoffMs = 10'000;

uint32_t InFlightLimit() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY) {
    return kMaxInFlight;
  }
  return static_cast<uint32_t>(std::clamp<rlim_t>(limit.rlim_cur / 32, 8, kMaxInFlight));
}

}  // namespace

// One backend that is probed.
class HealthChecker::Target final : public TimerTarget {
 public:
  Target(HealthChecker& checker, ProbeTarget target)
      : history(target.known), checker_(checker), target_(std::move(target)) {}
  ~Target() override {
    checker_.loop_.timers().Cancel(this);
    if (probe != nullptr) {
      probe->Cancel();
      --checker_.in_flight_;
    }
  }

  void OnTimer() override { checker_.OnDue(this); }

  // Whether traffic has connected since the last look, and nothing has failed after it.
  bool HasTraffic() {
    if (target_.backend == nullptr) return false;
    uint64_t sessions = 0;
    for (size_t i = 0; i < target_.backend->shard_count(); ++i) {
      const BackendShard* shard = target_.backend->FindShard(i);
      if (shard != nullptr) sessions += shard->counters.sessions.value();
    }
    const bool grew = sessions != std::exchange(sessions_seen_, sessions);
    return grew && target_.backend->load.consecutive_failures.load(std::memory_order_relaxed) == 0;
  }

  // The time to the next probe, jitter included.
  uint64_t WaitMs() const {
    const auto interval = static_cast<uint64_t>(target_.settings->interval.count());
    double wait = static_cast<double>(interval);
    if (history.health() == Health::kUnhealthy) {
      const uint32_t beyond = history.consecutive_bad() > target_.settings->fall
                                  ? history.consecutive_bad() - target_.settings->fall
                                  : 0;
      const uint64_t longest = std::max(kMaxBackoffMs, interval);
      wait = static_cast<double>(
          std::min<uint64_t>(interval << std::min<uint32_t>(beyond, 10), longest));
    }
    return static_cast<uint64_t>(wait * (0.9 + 0.2 * checker_.NextJitter()));
  }

  void Schedule(uint64_t wait_ms) {
    checker_.loop_.timers().Schedule(this, checker_.loop_.now_ms() + wait_ms);
  }

  ProbeTarget& target() { return target_; }

  Hysteresis history;
  Probe* probe = nullptr;  // in flight
  bool is_due = false;     // stands in due_

 private:
  HealthChecker& checker_;
  ProbeTarget target_;
  uint64_t sessions_seen_ = 0;
};

absl::StatusOr<std::unique_ptr<HealthChecker>> HealthChecker::Start(Options options) {
  if (options.max_in_flight == 0) options.max_in_flight = InFlightLimit();
  std::unique_ptr<HealthChecker> checker(new HealthChecker(std::move(options)));
  if (absl::Status status = checker->loop_.Start("slb-health"); !status.ok()) return status;
  return checker;
}

HealthChecker::HealthChecker(Options options) : options_(std::move(options)) {
  tokens_ = kBurst;
  tokens_ms_ = loop_.now_ms();
  pump_alarm_.ring = [this] { Pump(); };
  report_alarm_.ring = [this] {
    boost::asio::post(options_.control, [on_reports = options_.on_reports,
                                         reports = std::exchange(reports_, {})]() mutable {
      on_reports(std::move(reports));
    });
  };
}

HealthChecker::~HealthChecker() { Stop(); }

void HealthChecker::Stop() {
  loop_.Stop([this] {
    targets_.clear();
    loop_.timers().Cancel(&pump_alarm_);
    loop_.timers().Cancel(&report_alarm_);
  });
}

void HealthChecker::Put(std::vector<ProbeTarget> targets) {
  loop_.Post([this, targets = std::move(targets)]() mutable { PutNow(std::move(targets)); });
}

void HealthChecker::Remove(std::vector<ProbeId> ids) {
  loop_.Post([this, ids = std::move(ids)] {
    for (ProbeId id : ids) targets_.erase(id);
    Pump();
  });
}

void HealthChecker::PutNow(std::vector<ProbeTarget> targets) {
  for (ProbeTarget& target : targets) {
    const ProbeId id = target.id;
    std::unique_ptr<Target>& slot = targets_[id];
    if (slot != nullptr && slot->target().address == target.address) {
      const bool is_same = slot->target().settings == target.settings;
      slot->target() = std::move(target);
      if (slot->probe != nullptr || slot->is_due) continue;
      // Who changes the settings wants to know what they say, not wait for the end of a back-off.
      if (is_same) {
        slot->Schedule(slot->WaitMs());
      } else {
        loop_.timers().Cancel(slot.get());
        OnDue(slot.get());
      }
      continue;
    }
    slot = std::make_unique<Target>(*this, std::move(target));
    OnDue(slot.get());
  }
}

void HealthChecker::OnDue(Target* target) {
  // That traffic connects says as much as a connect, and less than an answer.
  const bool is_connect = target->target().settings->kind == ProbeKind::kTcpConnect;
  if (is_connect && target->history.health() == Health::kHealthy && target->HasTraffic()) {
    return OnResult(target, {.reason = ProbeReason::kOk, .detail = "", .latency = {}});
  }
  target->is_due = true;
  due_.push_back(target->target().id);
  Pump();
}

// Starts what is due, within the bounds.
void HealthChecker::Pump() {
  const uint64_t now = loop_.now_ms();
  const double rate = options_.starts_per_second;
  tokens_ = std::min(kBurst, tokens_ + static_cast<double>(now - tokens_ms_) * rate / 1000);
  tokens_ms_ = now;
  while (!due_.empty() && in_flight_ < options_.max_in_flight) {
    const auto found = targets_.find(due_.front());
    if (found == targets_.end() || !found->second->is_due) {  // it was removed meanwhile
      due_.pop_front();
      continue;
    }
    if (tokens_ < 1) {
      loop_.timers().Schedule(&pump_alarm_, now + 1);
      return;
    }
    due_.pop_front();
    tokens_ -= 1;
    ++in_flight_;
    Target* const target = found->second.get();
    target->is_due = false;
    if (ProbeCounters* counters = target->target().counters.get()) counters->started.Add(1);
    target->probe = Probe::Start(loop_, target->target().address, target->target().settings,
                                 [this, target](ProbeResult result) {
                                   target->probe = nullptr;
                                   --in_flight_;
                                   OnResult(target, result);
                                   Pump();
                                 });
  }
}

void HealthChecker::OnResult(Target* target, const ProbeResult& result) {
  const ProbeSettings& settings = *target->target().settings;
  const bool good = result.reason == ProbeReason::kOk;
  bool changed = false;
  if (result.reason != ProbeReason::kLocal) {
    ProbeCounters* const counters = target->target().counters.get();
    if (!good && counters != nullptr) counters->failed.Add(1);
    changed = target->history.Record(good, settings.rise, settings.fall);
  }
  target->Schedule(target->WaitMs());
  Report({.id = target->target().id,
          .health = target->history.health(),
          .changed = changed,
          .reason = result.reason,
          .detail = result.detail,
          .time = std::chrono::system_clock::now(),
          .latency = result.latency,
          .consecutive_good = target->history.consecutive_good(),
          .consecutive_bad = target->history.consecutive_bad(),
          .transitions = target->history.transitions()});
}

void HealthChecker::Report(HealthReport report) {
  const uint64_t wait_ms = report.changed ? 0 : kReportEveryMs;
  reports_.push_back(std::move(report));
  if (!report_alarm_.is_scheduled() || wait_ms == 0) {
    loop_.timers().Schedule(&report_alarm_, loop_.now_ms() + wait_ms);
  }
}

double HealthChecker::NextJitter() {
  random_ = random_ * 6364136223846793005u + 1442695040888963407u;
  return static_cast<double>(random_ >> 11) / static_cast<double>(uint64_t{1} << 53);
}

}  // namespace sidelb
