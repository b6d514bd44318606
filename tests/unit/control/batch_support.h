// Short ways to write requests in tests of batches.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "server/control/batch.h"
#include "server/control/errors.h"

namespace sidelb::control {

inline Address At(std::string_view text) { return *Address::Parse(text); }

inline BackendSpec B(std::string_view address, std::optional<uint32_t> weight = std::nullopt) {
  return {.address = At(address), .weight = weight};
}

// At no particular time.
inline absl::StatusOr<Change> ApplyBatch(const DesiredState& state, const ApplyRequest& request) {
  return ApplyBatch(state, request, absl::UnixEpoch());
}

inline ApplyRequest Ops(std::vector<Op> ops, std::string owner = "api:test") {
  ApplyRequest request;
  request.owner = std::move(owner);
  request.is_provider = !request.owner.starts_with("api:");
  request.ops = std::move(ops);
  return request;
}

inline Op Pool(std::string name, std::optional<Mode> mode = std::nullopt) {
  return {.op = PutPool{.spec = {.name = std::move(name), .mode = mode}}};
}
inline Op Upsert(std::string pool, std::vector<BackendSpec> backends) {
  return {.op = UpsertBackends{std::move(pool), std::move(backends)}};
}
inline Op Replace(std::string pool, std::vector<BackendSpec> backends) {
  return {.op = ReplaceBackends{std::move(pool), std::move(backends)}};
}
inline Op Remove(std::string pool, std::vector<Address> addresses, bool any_owner = false) {
  return {.op = RemoveBackends{
              .pool = std::move(pool), .addresses = std::move(addresses), .any_owner = any_owner}};
}
inline Op Listener(std::string name, std::string_view address, std::string pool) {
  return {.op = PutListener{
              .spec = {.name = std::move(name), .address = At(address), .pool = std::move(pool)}}};
}
inline Op Impose(std::string pool, std::vector<Address> addresses, Override override) {
  return {.op = SetOverride{.pool = std::move(pool),
                            .selector = {.addresses = std::move(addresses)},
                            .override = std::move(override)}};
}

inline std::string Reason(const absl::Status& status) {
  const auto details = GetErrorDetails(status);
  return details.has_value() ? details->reason : "";
}
inline std::string Field(const absl::Status& status) {
  const auto details = GetErrorDetails(status);
  return details.has_value() && !details->violations.empty() ? details->violations[0].field : "";
}

}  // namespace sidelb::control
