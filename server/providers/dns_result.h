// DnsResult: what the lookup of one domain came to.
//
// Thread safety: values.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/time/time.h"
#include "dataplane/base/address.h"

namespace sidelb::providers {

enum class DnsOutcome : uint8_t {
  kAnswer,    // at least one address
  kEmpty,     // the name is there, without such records
  kNoDomain,  // NXDOMAIN
  kFailure,   // nobody could say: SERVFAIL, REFUSED, no answer in time, ...
};

struct DnsTarget {
  Address address;        // with the port of an SRV record, else port 0
  absl::Duration ttl;     // of the record and all that led to it
  uint16_t priority = 0;  // of SRV records
  uint16_t weight = 0;
  friend bool operator==(const DnsTarget&, const DnsTarget&) = default;
};

struct DnsResult {
  DnsOutcome outcome = DnsOutcome::kFailure;
  std::vector<DnsTarget> targets;
  // Why it failed, or with kAnswer: what is missing because a part of the lookup failed.
  std::string error;
  // Whether `targets` has all addresses of that family: an answer for A says nothing of AAAA.
  bool has_all_v4 = true;
  bool has_all_v6 = true;
};

}  // namespace sidelb::providers
