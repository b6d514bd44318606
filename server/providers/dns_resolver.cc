#include "server/providers/dns_resolver.h"

#include <ares.h>

#include <utility>

namespace sidelb::providers {

DnsResolver::DnsResolver(boost::asio::any_io_executor executor, const DnsSettings& settings)
    : executor_(std::move(executor)), settings_(settings) {
  // Counts its calls. Never undone, because gRPC uses the same library until the process ends.
  ares_library_init(ARES_LIB_INIT_ALL);
}

DnsResolver::~DnsResolver() { Stop(); }

void DnsResolver::Resolve(const std::string& domain, control::RecordType record,
                          std::function<void(DnsResult)> callback) {
  const auto lookup = std::make_shared<DnsLookup>(executor_, settings_, domain, record);
  lookups_.insert(lookup);
  lookup->Start(first_server_, [this, weak = std::weak_ptr(lookup),
                                callback = std::move(callback)](DnsResult result) {
    lookups_.erase(weak.lock());
    if (!result.error.empty() && result.outcome != DnsOutcome::kNoDomain &&
        result.outcome != DnsOutcome::kEmpty) {
      ++first_server_;
    }
    callback(std::move(result));
  });
}

void DnsResolver::Stop() {
  for (const auto& lookup : std::exchange(lookups_, {})) lookup->Cancel();
}

}  // namespace sidelb::providers
