// Answers: from the model to the API.
//
// Thread safety: pure functions; a StateView is immutable.
#pragma once

#include <cstddef>

#include "server/control/model.h"
#include "sidelb/v1/control.pb.h"

namespace sidelb::rpc {

namespace pb = sidelb::v1;

enum class StateDetail : uint8_t {
  kFull,
  kConfig,  // what can be written, and revisions: no status, no merged view of backends
};

pb::Listener ToProto(const control::StateView::ListenerEntry& entry, StateDetail detail);
pb::Pool ToProto(const control::StateView::PoolEntry& entry, StateDetail detail);
pb::Backend ToProto(const control::StateView::BackendEntry& entry, StateDetail detail);

pb::ApplyResponse ToProto(const control::ApplyResponse& response);
pb::Lease ToProto(const control::Lease& lease);
// Without the epoch, which is the caller's.
pb::RenewLeaseResponse ToProto(const control::RenewLeaseResponse& response);

pb::AuditEntry ToProto(const control::AuditEntry& entry);
pb::ListAuditResponse ToProto(const control::AuditPage& page);

// All that control knows; version, capabilities and limits are the caller's.
pb::GetInfoResponse ToProto(const control::Info& info);

}  // namespace sidelb::rpc
