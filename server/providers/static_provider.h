// The static provider: what the daemon's own arguments and environment say, as one Apply of owner
// `static`: a listener and a pool named `default`, and the pool's backends.
//
// Pure.
#pragma once

#include <vector>

#include "server/control/model.h"

namespace sidelb::providers {

struct StaticConfig {
  Address bind;
  Mode mode = Mode::kRoundRobin;
  control::Protocol protocol = control::Protocol::kTcp;
  std::vector<Address> backends;
  std::vector<control::RingDomainSpec> ring_domains;
  bool group_by_ip = false;
};

control::ApplyRequest MakeStaticRequest(const StaticConfig& config);

}  // namespace sidelb::providers
