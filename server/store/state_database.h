// StateDatabase: the state in one SQLite file, with one transaction for each group.
//
// WAL with synchronous=FULL: a group is durable when Write() returns, and a crash at any moment
// leaves whole groups. One process has the file, in exclusive mode.
//
// Thread safety: one thread at a time. Ownership: whoever opened it. It blocks.
#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "server/control/store.h"

struct sqlite3;
struct sqlite3_stmt;

namespace sidelb::store {

class StateDatabase {
 public:
  // Rows and tables of this shape; another one is refused.
  static constexpr int kSchemaVersion = 1;

  // Opens or makes the file. `vfs` names one of SQLite's, empty = its default.
  // DATA_LOSS: the file is damaged, or no database. FAILED_PRECONDITION: of another version of
  // SideLB. UNAVAILABLE: it cannot be read or written; the message says why.
  static absl::StatusOr<std::unique_ptr<StateDatabase>> Open(const std::string& path,
                                                             const std::string& vfs = "");
  ~StateDatabase();
  StateDatabase(const StateDatabase&) = delete;
  StateDatabase& operator=(const StateDatabase&) = delete;

  // All that is there. DATA_LOSS as for Open().
  absl::StatusOr<control::StoredState> Load();

  // UNAVAILABLE: nothing of the group shows. After a failed sync it may after a crash.
  absl::Status Write(const control::StoreGroup& group);

 private:
  enum Statement : int {
    kBegin,
    kCommit,
    kRollback,
    kPutMeta,
    kPutListener,
    kDropListener,
    kPutPool,
    kDropPool,
    kDropBackends,
    kPutBackend,
    kDropBackend,
    kPutRequest,
    kDropRequests,
    kPutAudit,
    kDropAudit,
    kWithdrawRequest,
    kWithdrawAudit,
    kDropLeases,
    kPutLease,
    kStatements,
  };
  class Row;

  explicit StateDatabase(sqlite3* db) : db_(db) {}
  absl::Status Prepare();
  absl::Status Exec(const std::string& sql);
  absl::Status CheckVersion();
  absl::Status CheckIntegrity();
  absl::Status WriteRows(const control::StoreGroup& group);
  absl::Status Error(std::string_view what) const;

  sqlite3* const db_;
  sqlite3_stmt* statements_[kStatements] = {};
};

}  // namespace sidelb::store
