// RingProvider: keeps the claims of the owners `ring:<domain>` as DNS says, in every pool that
// names ring domains.
//
// It holds no list of what it claimed: each plan is made against what the pool has now, so that it
// needs no repair after an operator's change.
//
// Thread safety: the control thread. Ownership: the ControlLoop.
#pragma once

#include <boost/asio/steady_timer.hpp>
#include <map>
#include <memory>
#include <random>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "server/control/provider.h"
#include "server/providers/dns_resolver.h"
#include "server/providers/ring_domain.h"

namespace sidelb::providers {

struct RingOptions {
  DnsSettings dns;
  RingDomain::Timing timing;
  absl::Duration look_for_failures = absl::Milliseconds(200);  // of connects
};

class RingProvider : public control::Provider {
 public:
  RingProvider(control::ProviderPort port, const RingOptions& options);
  ~RingProvider() override;
  RingProvider(const RingProvider&) = delete;
  RingProvider& operator=(const RingProvider&) = delete;

  void OnPools(const control::DesiredState& desired, const std::set<std::string>& pools) override;
  std::vector<control::Condition> GetConditions() const override;
  void Stop() override;

 private:
  struct Followed {
    RingDomain domain;
    bool is_applying = false;
  };
  using Key = std::pair<std::string, std::string>;  // pool, domain

  void Run();
  void TakeSpecs();
  void NoteFailures(absl::Time now);
  void StartLookup(const std::shared_ptr<Followed>& followed, absl::Time now);
  void MakePlan(const std::shared_ptr<Followed>& followed, absl::Time now);
  void Apply(const std::string& pool, const std::string& owner,
             std::vector<control::BackendSpec> claims, const std::weak_ptr<Followed>& followed);
  void WakeBy(absl::Time time);
  double Chance() { return std::uniform_real_distribution<double>(0, 1)(random_); }

  const control::ProviderPort port_;
  const RingOptions options_;
  DnsResolver resolver_;
  boost::asio::steady_timer timer_;
  absl::Time timer_time_ = absl::InfiniteFuture();  // for which it is set
  std::minstd_rand random_;
  // Of pools that were changed: what TakeSpecs() has still to take.
  std::map<std::string, std::vector<control::RingDomainSpec>> changed_;
  std::map<Key, std::shared_ptr<Followed>> followed_;
  std::map<std::string, uint64_t> failures_;  // by pool that is followed
  absl::Time next_failures_;
  bool is_stopped_ = false;
};

// For Controller::Options.
control::MakeProvider MakeRingProvider(RingOptions options);

}  // namespace sidelb::providers
