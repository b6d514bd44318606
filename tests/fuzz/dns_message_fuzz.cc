// Answers of DNS servers.
#include "server/providers/dns_message.h"
#include "tests/fuzz/fuzz.h"

using sidelb::fuzz::Require;
using sidelb::providers::DnsRecord;
using sidelb::providers::DnsType;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  for (const DnsType type : {DnsType::kA, DnsType::kAaaa, DnsType::kSrv}) {
    const auto records = sidelb::providers::ReadAnswers({data, size}, type);
    if (!records) continue;
    for (const DnsRecord& record : *records) {
      Require(record.address.is_specified() == (type != DnsType::kSrv), "addresses have a family");
      Require(record.ttl >= absl::ZeroDuration(), "a TTL is not negative");
      Require(record.ttl <= absl::Seconds(INT32_MAX), "a TTL has 31 bits");
    }
  }
  return 0;
}
