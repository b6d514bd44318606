// Checks of what is written, field by field. Each returns INVALID_ARGUMENT (BAD_FIELD) that names
// the field by `path`, its value and what is allowed; UNIMPLEMENTED (CAPABILITY) for what this
// version cannot do.
//
// Pure functions.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "server/control/model.h"

namespace sidelb::control {

// At most kMaxText bytes, no control characters.
absl::Status ValidateText(std::string_view text, std::string_view path);
absl::Status ValidateName(std::string_view name, std::string_view path);
absl::Status ValidateOwner(const ApplyRequest& request);
// api:NAME, who may hold a lease.
absl::Status ValidateApiOwner(std::string_view owner, std::string_view path = "owner");
absl::Status ValidateListener(const ListenerSpec& spec, const std::string& path);
absl::Status ValidatePool(const PoolSpec& spec, const std::string& path);
absl::Status ValidateHashTableSize(const std::optional<uint32_t>& size, std::string_view path);
// A host name: labels of letters, digits, - and _; never an address. Empty when it is good, else
// what is wrong and what is allowed.
std::string WrongDomain(std::string_view domain);
absl::Status ValidateRingDomains(const std::vector<RingDomainSpec>& domains,
                                 const std::string& path);
absl::Status ValidateHealthCheck(const HealthCheckSpec& spec, const std::string& path);
absl::Status ValidateBackend(const BackendSpec& spec, const std::string& path);
absl::Status ValidateAttributes(const BackendSpec& spec, const std::string& path);  // no address
absl::Status ValidateDrain(const DrainSpec& drain, const std::string& path);
// 0 s = without end.
absl::Status ValidateOverrideTtl(absl::Duration ttl, std::string_view path);
absl::Status ValidateWeight(uint32_t weight, std::string_view path);
absl::Status ValidateSelector(const Selector& selector, const std::string& path);

// UNIMPLEMENTED, reason CAPABILITY, naming the field.
absl::Status NotBuilt(std::string_view path, std::string_view what);

}  // namespace sidelb::control
