#include "server/providers/ring_provider.h"

#include <algorithm>
#include <chrono>

#include "spdlog/spdlog.h"

namespace sidelb::providers {
namespace {

void Log(const std::optional<RingDomain::Line>& line) {
  if (!line.has_value()) return;
  spdlog::log(line->is_warning ? spdlog::level::warn : spdlog::level::info, "{}", line->text);
}

}  // namespace

control::MakeProvider MakeRingProvider(RingOptions options) {
  return [options = std::move(options)](control::ProviderPort port) {
    return std::make_unique<RingProvider>(std::move(port), options);
  };
}

RingProvider::RingProvider(control::ProviderPort port, const RingOptions& options)
    : port_(std::move(port)),
      options_(options),
      resolver_(port_.executor, options.dns),
      timer_(port_.executor),
      random_(std::random_device()()) {}

RingProvider::~RingProvider() { Stop(); }

void RingProvider::Stop() {
  is_stopped_ = true;
  resolver_.Stop();
  timer_.cancel();
  followed_.clear();
  failures_.clear();
}

// Only notes them: it is called in the middle of a commit, perhaps of its own.
void RingProvider::OnPools(const control::DesiredState& desired,
                           const std::set<std::string>& pools) {
  if (is_stopped_) return;
  for (const std::string& name : pools) {
    const control::DesiredPool* pool = desired.FindPool(name);
    const bool has_domains = pool != nullptr && !pool->object->spec.ring_domains.empty();
    if (!has_domains && !failures_.contains(name) && !changed_.contains(name)) continue;
    changed_[name] =
        has_domains ? pool->object->spec.ring_domains : std::vector<control::RingDomainSpec>();
    WakeBy(absl::InfinitePast());
  }
}

void RingProvider::TakeSpecs() {
  for (const auto& [pool, specs] : std::exchange(changed_, {})) {
    std::map<Key, std::shared_ptr<Followed>> kept;
    for (const control::RingDomainSpec& spec : specs) {
      const Key key(pool, spec.domain);
      const auto found = followed_.find(key);
      if (found != followed_.end() && found->second->domain.spec() == spec) {
        kept.insert(followed_.extract(found));
      } else {
        RingDomain domain(pool, spec, options_.timing, port_.now());
        kept.emplace(key, std::make_shared<Followed>(Followed{.domain = std::move(domain)}));
      }
    }
    std::erase_if(followed_, [&](const auto& one) { return one.first.first == pool; });
    followed_.merge(kept);
    if (specs.empty()) {
      failures_.erase(pool);
    } else {
      failures_.try_emplace(pool, port_.connect_failures(pool));
    }
  }
}

void RingProvider::NoteFailures(absl::Time now) {
  if (now < next_failures_) return;
  next_failures_ = now + options_.look_for_failures;
  for (auto& [pool, seen] : failures_) {
    const uint64_t failures = port_.connect_failures(pool);
    if (std::exchange(seen, failures) == failures) continue;
    for (auto it = followed_.lower_bound({pool, ""});
         it != followed_.end() && it->first.first == pool; ++it) {
      it->second->domain.OnConnectFailure(now);
    }
  }
}

void RingProvider::Run() {
  if (is_stopped_) return;
  TakeSpecs();
  const absl::Time now = port_.now();
  NoteFailures(now);
  absl::Time next = failures_.empty() ? absl::InfiniteFuture() : next_failures_;
  for (const auto& [key, followed] : followed_) {
    if (followed->domain.IsLookupDue(now)) StartLookup(followed, now);
    if (followed->domain.IsPlanDue(now)) MakePlan(followed, now);
    if (!followed->is_applying) next = std::min(next, followed->domain.next_event());
  }
  WakeBy(next);
}

void RingProvider::StartLookup(const std::shared_ptr<Followed>& followed, absl::Time now) {
  RingDomain& domain = followed->domain;
  domain.StartLookup(now);
  resolver_.Resolve(domain.spec().domain, control::EffectiveRecordType(domain.spec()),
                    [this, weak = std::weak_ptr(followed)](const DnsResult& result) {
                      TakeSpecs();
                      // Nobody follows it any more.
                      const std::shared_ptr<Followed> one = weak.lock();
                      if (one == nullptr) return;
                      Log(one->domain.OnResult(result, port_.now(), Chance()));
                      Run();
                    });
}

void RingProvider::MakePlan(const std::shared_ptr<Followed>& followed, absl::Time now) {
  if (followed->is_applying) return;
  RingDomain& domain = followed->domain;
  const auto reading = port_.read_pool(domain.pool(), domain.owner());
  if (!reading.has_value()) return;
  ClaimPlan plan = domain.Plan(*reading, now);
  Log(domain.TakeHoldLine());
  if (plan.is_change) {
    Apply(domain.pool(), domain.owner(), std::move(plan.claims), followed);
  }
}

void RingProvider::Apply(const std::string& pool, const std::string& owner,
                         std::vector<control::BackendSpec> claims,
                         const std::weak_ptr<Followed>& followed) {
  control::ApplyRequest request;
  request.owner = owner;
  request.is_provider = true;
  request.wait = control::WaitFor::kCommitted;
  const bool is_empty = claims.empty();
  request.ops.push_back({.op = control::ReplaceBackends{pool, std::move(claims)}});
  if (const auto one = followed.lock()) one->is_applying = true;
  port_.apply(std::move(request), [this, pool, owner, followed,
                                   is_empty](const absl::StatusOr<control::ApplyResponse>& answer) {
    if (is_stopped_) return;
    const std::shared_ptr<Followed> one = followed.lock();
    if (one != nullptr) {
      one->is_applying = false;
      Log(one->domain.OnApplied(answer.status(), port_.now()));
      WakeBy(one->domain.next_event());
    } else if (answer.ok() && !is_empty) {
      // It had to wait in line, and the pool has left the domain meanwhile.
      if (!followed_.contains({pool, owner.substr(owner.find(':') + 1)}))
        Apply(pool, owner, {}, {});
    }
  });
}

std::vector<control::Condition> RingProvider::GetConditions() const {
  std::vector<control::Condition> conditions;
  for (const auto& [key, followed] : followed_) {
    for (control::Condition& condition : followed->domain.GetConditions()) {
      conditions.push_back(std::move(condition));
    }
  }
  return conditions;
}

void RingProvider::WakeBy(absl::Time time) {
  if (is_stopped_ || time >= timer_time_) return;
  timer_time_ = time;
  const absl::Duration rest = std::clamp(time - port_.now(), absl::ZeroDuration(), absl::Hours(1));
  timer_.expires_after(absl::ToChronoNanoseconds(rest));
  timer_.async_wait([this](const boost::system::error_code& error) {
    if (error || is_stopped_) return;  // set anew, or stopped
    timer_time_ = absl::InfiniteFuture();
    Run();
  });
}

}  // namespace sidelb::providers
