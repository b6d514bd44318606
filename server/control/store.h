// Store: where accepted configuration survives the process, with request ids and the audit. The
// interface that control knows; server/store implements it.
//
// A StoreGroup is written as a whole or not at all, and is durable when it is answered. The control
// thread writes one group at a time.
//
// Thread safety: Write() by the control thread, which it never blocks; `done` runs on a thread of
// the store's. Stop() by the owner. Ownership: shared; it must outlive the controller.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "server/control/model.h"

namespace sidelb::control {

// The answer to a request with an id.
struct StoredRequest {
  uint64_t number = 0;  // grows
  std::string id;
  uint64_t payload = 0;
  absl::Time time;
  ApplyResponse response;
};

// What one transaction writes. A null object: its row goes.
struct StoreGroup {
  uint64_t revision = 0;  // of the state that the rows make
  std::map<std::string, std::shared_ptr<const ListenerObject>> listeners;
  // With a pool that goes, all rows of its backends go, before those below come.
  std::map<std::string, std::shared_ptr<const PoolObject>> pools;
  // Only with claims that IsStored(), and maybe with none but an override.
  std::map<BackendKey, std::shared_ptr<const BackendObject>> backends;
  std::vector<StoredRequest> requests;
  std::vector<AuditEntry> audit;
  // Of what an earlier group wrote as accepted, and which was refused after all.
  std::vector<uint64_t> withdrawn_requests;
  std::vector<uint64_t> withdrawn_audit;
  std::optional<std::vector<Lease>> leases;  // all that there are; absent = as they were
  // Those with lower numbers go.
  uint64_t oldest_request = 0;
  uint64_t oldest_audit = 0;
};

// What a store holds when it is opened.
struct StoredState {
  uint64_t revision = 0;  // 0 = nothing was ever stored
  std::vector<std::shared_ptr<const ListenerObject>> listeners;
  std::vector<std::shared_ptr<const PoolObject>> pools;
  std::vector<std::shared_ptr<const BackendObject>> backends;  // as in StoreGroup
  std::vector<StoredRequest> requests;                         // by number
  std::vector<AuditEntry> audit;                               // by number
  std::vector<Lease> leases;
  std::vector<Condition> conditions;  // STORE_CORRUPT
};

class Store {
 public:
  virtual ~Store() = default;
  // REQUIRES: the last group was answered. `done` is called once; with an error nothing of the
  // group shows, but after a failed sync it may after a crash.
  virtual void Write(StoreGroup group, std::function<void(absl::Status)> done) = 0;
  // Finishes the group under way. Idempotent.
  virtual void Stop() = 0;
};

}  // namespace sidelb::control
