// Rows of the store: values of the model as bytes, which are protobuf messages of the API, so that
// they keep what the API keeps and old rows stay readable.
//
// Pure functions. Decoding fails with DATA_LOSS, which says what is wrong with the row.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "server/control/model.h"

namespace sidelb::store {

std::string Encode(const control::ListenerObject& listener);
std::string Encode(const control::PoolObject& pool);
// Pool, address, claims, override and revision; what is merged of them is not kept.
std::string Encode(const control::BackendObject& backend);
// Claims have an order, which the API does not show: "3,17", one for each.
std::string EncodeOrders(const control::BackendObject& backend);
std::string Encode(const control::ApplyResponse& response);
std::string Encode(const control::Lease& lease);  // its terms; the time that is left is not kept
std::string Encode(const control::AuditEntry& entry);  // without its number

absl::StatusOr<std::shared_ptr<const control::ListenerObject>> DecodeListener(
    const std::string& row);
absl::StatusOr<std::shared_ptr<const control::PoolObject>> DecodePool(const std::string& row);
absl::StatusOr<std::shared_ptr<const control::BackendObject>> DecodeBackend(
    const std::string& row, std::string_view orders);
absl::StatusOr<control::ApplyResponse> DecodeResponse(const std::string& row);
absl::StatusOr<control::Lease> DecodeLease(const std::string& row);
absl::StatusOr<control::AuditEntry> DecodeAudit(const std::string& row);

}  // namespace sidelb::store
