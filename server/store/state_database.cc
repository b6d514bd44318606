#include "server/store/state_database.h"

#include <sqlite3.h>

#include <cstring>
#include <functional>
#include <utility>

#include "absl/time/clock.h"
#include "fmt/format.h"
#include "server/store/codec.h"

namespace sidelb::store {
namespace {

constexpr int kApplicationId = 0x53694c42;  // "SiLB", for file(1)

constexpr char kSchema[] = R"(
CREATE TABLE meta (key TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE listeners (name TEXT PRIMARY KEY, listener BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE pools (name TEXT PRIMARY KEY, pool BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE backends (pool TEXT NOT NULL, address TEXT NOT NULL, backend BLOB NOT NULL,
                       orders TEXT NOT NULL, PRIMARY KEY (pool, address)) WITHOUT ROWID;
CREATE TABLE requests (number INTEGER PRIMARY KEY, id TEXT NOT NULL, payload INTEGER NOT NULL,
                       time INTEGER NOT NULL, response BLOB NOT NULL);
CREATE TABLE leases (owner TEXT PRIMARY KEY, lease BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE audit (number INTEGER PRIMARY KEY, entry BLOB NOT NULL);
)";

constexpr const char* kSql[] = {
    "BEGIN IMMEDIATE",
    "COMMIT",
    "ROLLBACK",
    "INSERT OR REPLACE INTO meta VALUES ('revision', ?)",
    "INSERT OR REPLACE INTO listeners VALUES (?, ?)",
    "DELETE FROM listeners WHERE name = ?",
    "INSERT OR REPLACE INTO pools VALUES (?, ?)",
    "DELETE FROM pools WHERE name = ?",
    "DELETE FROM backends WHERE pool = ?",
    "INSERT OR REPLACE INTO backends VALUES (?, ?, ?, ?)",
    "DELETE FROM backends WHERE pool = ? AND address = ?",
    "INSERT OR REPLACE INTO requests VALUES (?, ?, ?, ?, ?)",
    "DELETE FROM requests WHERE number < ?",
    "INSERT OR REPLACE INTO audit VALUES (?, ?)",
    "DELETE FROM audit WHERE number < ?",
    "DELETE FROM requests WHERE number = ?",
    "DELETE FROM audit WHERE number = ?",
    "DELETE FROM leases",
    "INSERT INTO leases VALUES (?, ?)",
};

bool IsDamage(int code) {
  const int primary = code & 0xff;
  return primary == SQLITE_CORRUPT || primary == SQLITE_NOTADB || primary == SQLITE_FORMAT;
}

}  // namespace

// One statement: bind its values in order, then run it or step over its rows.
class StateDatabase::Row {
 public:
  explicit Row(sqlite3_stmt* statement) : statement_(statement) {}
  ~Row() {
    sqlite3_reset(statement_);
    sqlite3_clear_bindings(statement_);
  }

  // Texts and blobs must live until the end of the row.
  Row& Text(const std::string& text) {
    sqlite3_bind_text64(statement_, ++index_, text.data(), text.size(), SQLITE_STATIC, SQLITE_UTF8);
    return *this;
  }
  Row& Blob(const std::string& blob) {
    sqlite3_bind_blob64(statement_, ++index_, blob.data(), blob.size(), SQLITE_STATIC);
    return *this;
  }
  Row& Number(uint64_t number) {
    sqlite3_bind_int64(statement_, ++index_, static_cast<sqlite3_int64>(number));
    return *this;
  }

  bool Run() { return sqlite3_step(statement_) == SQLITE_DONE; }
  int Step() { return sqlite3_step(statement_); }

  uint64_t GetNumber(int column) const {
    return static_cast<uint64_t>(sqlite3_column_int64(statement_, column));
  }
  std::string GetBytes(int column) const {
    const void* bytes = sqlite3_column_blob(statement_, column);
    const int size = sqlite3_column_bytes(statement_, column);
    return bytes == nullptr ? "" : std::string(static_cast<const char*>(bytes), size);
  }

 private:
  sqlite3_stmt* const statement_;
  int index_ = 0;
};

absl::Status StateDatabase::Error(std::string_view what) const {
  const int code = sqlite3_extended_errcode(db_);
  std::string why = sqlite3_errmsg(db_);
  const int system_error = sqlite3_system_errno(db_);
  if (system_error != 0 && !IsDamage(code)) {
    why += fmt::format(": {}", std::strerror(system_error));
  }
  const std::string message = fmt::format("{}: {} (SQLite {})", what, why, code);
  return IsDamage(code) ? absl::DataLossError(message) : absl::UnavailableError(message);
}

absl::StatusOr<std::unique_ptr<StateDatabase>> StateDatabase::Open(const std::string& path,
                                                                   const std::string& vfs) {
  sqlite3* db = nullptr;
  const int opened = sqlite3_open_v2(
      path.c_str(), &db,
      SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE,
      vfs.empty() ? nullptr : vfs.c_str());
  std::unique_ptr<StateDatabase> database(new StateDatabase(db));
  if (opened != SQLITE_OK) return database->Error(path);
  // Exclusive before WAL: then the index of the WAL is in memory of ours, and needs no third file.
  absl::Status status = database->Exec("PRAGMA locking_mode=EXCLUSIVE");
  if (status.ok()) status = database->CheckVersion();
  if (status.ok()) status = database->CheckIntegrity();
  if (status.ok()) status = database->Prepare();
  if (!status.ok()) {
    return absl::Status(status.code(), fmt::format("{}: {}", path, std::string(status.message())));
  }
  return database;
}

StateDatabase::~StateDatabase() {
  for (sqlite3_stmt* statement : statements_) sqlite3_finalize(statement);
  sqlite3_close_v2(db_);
}

absl::Status StateDatabase::Exec(const std::string& sql) {
  if (sqlite3_exec(db_, sql.c_str(), nullptr, nullptr, nullptr) == SQLITE_OK) {
    return absl::OkStatus();
  }
  return Error("the database cannot be used");
}

// Makes the tables in a file without any.
absl::Status StateDatabase::CheckVersion() {
  const auto read = [this](const char* sql) -> absl::StatusOr<int64_t> {
    sqlite3_stmt* statement = nullptr;
    int64_t number = 0;
    const bool is_read = sqlite3_prepare_v2(db_, sql, -1, &statement, nullptr) == SQLITE_OK &&
                         sqlite3_step(statement) == SQLITE_ROW;
    if (is_read) number = sqlite3_column_int64(statement, 0);
    const absl::Status error = is_read ? absl::OkStatus() : Error("the database cannot be read");
    sqlite3_finalize(statement);
    if (!error.ok()) return error;
    return number;
  };
  if (auto status = Exec("PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; "
                         "PRAGMA journal_size_limit=16777216; PRAGMA temp_store=MEMORY");
      !status.ok()) {
    return status;
  }
  const absl::StatusOr<int64_t> tables = read("SELECT count(*) FROM sqlite_master");
  if (!tables.ok()) return tables.status();
  const absl::StatusOr<int64_t> version = read("PRAGMA user_version");
  if (!version.ok()) return version.status();
  if (*tables == 0 && *version == 0) {
    return Exec(
        fmt::format("BEGIN IMMEDIATE; {} PRAGMA application_id={}; PRAGMA user_version={}; "
                    "COMMIT",
                    kSchema, kApplicationId, kSchemaVersion));
  }
  const absl::StatusOr<int64_t> application = read("PRAGMA application_id");
  if (!application.ok()) return application.status();
  if (*application != kApplicationId) {
    return absl::FailedPreconditionError(
        "it is the database of another program; give --state-dir a folder of its own");
  }
  if (*version != kSchemaVersion) {
    return absl::FailedPreconditionError(
        fmt::format("its rows are of version {}, this sidelb reads version {}; start the sidelb "
                    "that wrote them, `sidelb-cli export` there, and `apply` the file here",
                    *version, kSchemaVersion));
  }
  return absl::OkStatus();
}

absl::Status StateDatabase::CheckIntegrity() {
  sqlite3_stmt* statement = nullptr;
  sqlite3_prepare_v2(db_, "PRAGMA integrity_check(1)", -1, &statement, nullptr);
  absl::Status status = absl::OkStatus();
  if (statement == nullptr || sqlite3_step(statement) != SQLITE_ROW) {
    status = Error("the integrity check failed");
  } else if (const char* found = reinterpret_cast<const char*>(sqlite3_column_text(statement, 0));
             found == nullptr || std::strcmp(found, "ok") != 0) {
    status = absl::DataLossError(
        fmt::format("the integrity check found: {}", found == nullptr ? "nothing" : found));
  }
  sqlite3_finalize(statement);
  return status;
}

absl::Status StateDatabase::Prepare() {
  static_assert(std::size(kSql) == kStatements);
  for (int i = 0; i < kStatements; ++i) {
    if (sqlite3_prepare_v3(db_, kSql[i], -1, SQLITE_PREPARE_PERSISTENT, &statements_[i], nullptr) ==
        SQLITE_OK) {
      continue;
    }
    // A table that is not there, though the version says so, is damage like any other.
    const absl::Status error = Error("its tables are not those of SideLB");
    return absl::IsUnavailable(error) && sqlite3_errcode(db_) == SQLITE_ERROR
               ? absl::DataLossError(error.message())
               : error;
  }
  return absl::OkStatus();
}

absl::StatusOr<control::StoredState> StateDatabase::Load() {
  control::StoredState state;
  absl::Status status = absl::OkStatus();
  const auto each = [&](const char* sql, const std::function<absl::Status(const Row&)>& take) {
    sqlite3_stmt* statement = nullptr;
    if (!status.ok()) return;
    if (sqlite3_prepare_v2(db_, sql, -1, &statement, nullptr) != SQLITE_OK) {
      status = Error("the state cannot be read");
      return;
    }
    {
      Row row(statement);
      int step = SQLITE_ROW;
      while (status.ok() && (step = row.Step()) == SQLITE_ROW) status = take(row);
      if (status.ok() && step != SQLITE_DONE) status = Error("the state cannot be read");
    }
    sqlite3_finalize(statement);
  };
  // What is no configuration condemns nothing else.
  const auto skip = [&state](const absl::Status& why) {
    if (state.conditions.empty()) {
      state.conditions.push_back({.code = "STORE_ROWS_SKIPPED",
                                  .detail = std::string(why.message()),
                                  .since = absl::Now()});
    }
    return absl::OkStatus();
  };
  each("SELECT value FROM meta WHERE key = 'revision'", [&](const Row& row) {
    state.revision = row.GetNumber(0);
    return absl::OkStatus();
  });
  each("SELECT listener FROM listeners", [&](const Row& row) {
    auto listener = DecodeListener(row.GetBytes(0));
    if (listener.ok()) state.listeners.push_back(*std::move(listener));
    return listener.status();
  });
  each("SELECT pool FROM pools", [&](const Row& row) {
    auto pool = DecodePool(row.GetBytes(0));
    if (pool.ok()) state.pools.push_back(*std::move(pool));
    return pool.status();
  });
  each("SELECT backend, orders FROM backends", [&](const Row& row) {
    auto backend = DecodeBackend(row.GetBytes(0), row.GetBytes(1));
    if (backend.ok()) state.backends.push_back(*std::move(backend));
    return backend.status();
  });
  each("SELECT number, id, payload, time, response FROM requests ORDER BY number",
       [&](const Row& row) {
         auto response = DecodeResponse(row.GetBytes(4));
         if (!response.ok()) return skip(response.status());
         state.requests.push_back(
             {.number = row.GetNumber(0),
              .id = row.GetBytes(1),
              .payload = row.GetNumber(2),
              .time = absl::FromUnixNanos(static_cast<int64_t>(row.GetNumber(3))),
              .response = *std::move(response)});
         return absl::OkStatus();
       });
  each("SELECT lease FROM leases", [&](const Row& row) {
    auto lease = DecodeLease(row.GetBytes(0));
    if (lease.ok()) state.leases.push_back(*std::move(lease));
    return lease.status();
  });
  each("SELECT number, entry FROM audit ORDER BY number", [&](const Row& row) {
    auto entry = DecodeAudit(row.GetBytes(1));
    if (!entry.ok()) return skip(entry.status());
    entry->number = row.GetNumber(0);
    state.audit.push_back(*std::move(entry));
    return absl::OkStatus();
  });
  if (!status.ok()) return status;
  return state;
}

absl::Status StateDatabase::Write(const control::StoreGroup& group) {
  if (!Row(statements_[kBegin]).Run()) return Error("the state cannot be written");
  absl::Status status = WriteRows(group);
  if (status.ok() && !Row(statements_[kCommit]).Run()) status = Error("the state cannot be synced");
  // Some errors have rolled it back already.
  if (!status.ok() && sqlite3_get_autocommit(db_) == 0) Row(statements_[kRollback]).Run();
  return status;
}

absl::Status StateDatabase::WriteRows(const control::StoreGroup& group) {
  bool is_ok = Row(statements_[kPutMeta]).Number(group.revision).Run();
  for (const auto& [name, listener] : group.listeners) {
    if (!is_ok) break;
    const std::string bytes = listener == nullptr ? "" : Encode(*listener);
    is_ok = listener == nullptr ? Row(statements_[kDropListener]).Text(name).Run()
                                : Row(statements_[kPutListener]).Text(name).Blob(bytes).Run();
  }
  for (const auto& [name, pool] : group.pools) {
    if (!is_ok) break;
    if (pool == nullptr) {
      is_ok = Row(statements_[kDropPool]).Text(name).Run() &&
              Row(statements_[kDropBackends]).Text(name).Run();
    } else {
      const std::string bytes = Encode(*pool);
      is_ok = Row(statements_[kPutPool]).Text(name).Blob(bytes).Run();
    }
  }
  for (const auto& [key, backend] : group.backends) {
    if (!is_ok) break;
    const std::string address = key.second.ToString();
    if (backend == nullptr) {
      is_ok = Row(statements_[kDropBackend]).Text(key.first).Text(address).Run();
    } else {
      const std::string bytes = Encode(*backend);
      const std::string orders = EncodeOrders(*backend);
      is_ok = Row(statements_[kPutBackend])
                  .Text(key.first)
                  .Text(address)
                  .Blob(bytes)
                  .Text(orders)
                  .Run();
    }
  }
  for (const control::StoredRequest& request : group.requests) {
    if (!is_ok) break;
    const std::string bytes = Encode(request.response);
    is_ok = Row(statements_[kPutRequest])
                .Number(request.number)
                .Text(request.id)
                .Number(request.payload)
                .Number(static_cast<uint64_t>(absl::ToUnixNanos(request.time)))
                .Blob(bytes)
                .Run();
  }
  for (const control::AuditEntry& entry : group.audit) {
    if (!is_ok) break;
    const std::string bytes = Encode(entry);
    is_ok = Row(statements_[kPutAudit]).Number(entry.number).Blob(bytes).Run();
  }
  for (const uint64_t number : group.withdrawn_requests) {
    is_ok = is_ok && Row(statements_[kWithdrawRequest]).Number(number).Run();
  }
  for (const uint64_t number : group.withdrawn_audit) {
    is_ok = is_ok && Row(statements_[kWithdrawAudit]).Number(number).Run();
  }
  if (is_ok && group.leases.has_value()) {
    is_ok = Row(statements_[kDropLeases]).Run();
    for (const control::Lease& lease : *group.leases) {
      const std::string bytes = Encode(lease);
      is_ok = is_ok && Row(statements_[kPutLease]).Text(lease.owner).Blob(bytes).Run();
    }
  }
  is_ok = is_ok && Row(statements_[kDropRequests]).Number(group.oldest_request).Run() &&
          Row(statements_[kDropAudit]).Number(group.oldest_audit).Run();
  return is_ok ? absl::OkStatus() : Error("the state cannot be written");
}

}  // namespace sidelb::store
