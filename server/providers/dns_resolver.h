// DnsResolver: looks domains up, without blocking, on the control thread.
//
// A name with a dot is absolute; one without is looked for in the search domains too. A and AAAA
// heed /etc/hosts, as getaddrinfo(3) does. Answers that do not fit in a datagram come over TCP. A
// lookup ends within DnsSettings::deadline, whatever the servers do; after one that failed, the
// next lookup begins with the next server.
//
// Thread safety: the control thread. Ownership: the RingProvider. The executor's context must have
// run what was posted, or be dropped, after Stop().
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <functional>
#include <memory>
#include <set>
#include <string>

#include "server/control/model.h"
#include "server/providers/dns_lookup.h"
#include "server/providers/dns_result.h"

namespace sidelb::providers {

class DnsResolver {
 public:
  DnsResolver(boost::asio::any_io_executor executor, const DnsSettings& settings);
  ~DnsResolver();  // Stop()
  DnsResolver(const DnsResolver&) = delete;
  DnsResolver& operator=(const DnsResolver&) = delete;

  // Calls back once, never before it returns, unless Stop() comes first. With kSrv `targets` has
  // the addresses of all targets.
  void Resolve(const std::string& domain, control::RecordType record,
               std::function<void(DnsResult)> callback);
  // Ends all lookups without a callback. Idempotent.
  void Stop();

 private:
  const boost::asio::any_io_executor executor_;
  const DnsSettings settings_;
  size_t first_server_ = 0;
  std::set<std::shared_ptr<DnsLookup>> lookups_;
};

}  // namespace sidelb::providers
