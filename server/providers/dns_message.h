// Reads the records out of a DNS answer. c-ares reads addresses too, but tells no TTL of SRV
// records.
//
// Pure. Thread safety: any thread. Whatever the bytes are, it reads nothing outside of them.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "dataplane/base/address.h"

namespace sidelb::providers {

enum class DnsType : uint16_t { kA = 1, kCname = 5, kAaaa = 28, kSrv = 33 };

struct DnsRecord {
  Address address;     // of A and AAAA, port 0
  std::string target;  // of SRV, without the last dot
  uint16_t port = 0;
  uint16_t priority = 0;
  uint16_t weight = 0;
  absl::Duration ttl;  // not longer than those of the aliases before it
};

// The records of `type` in the answer section. nullopt when the message is cut or malformed.
std::optional<std::vector<DnsRecord>> ReadAnswers(std::span<const uint8_t> message, DnsType type);

}  // namespace sidelb::providers
