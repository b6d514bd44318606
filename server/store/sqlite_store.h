// SqliteStore: the store of --state-dir. The folder holds the database `state.db` and `lock`, which
// keeps a second daemon out.
//
// Thread safety: as control::Store says; Open() by main. It has a thread of its own, slb-store, the
// only one that touches the database after Open().
#pragma once

#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <utility>

#include "absl/status/statusor.h"
#include "server/control/store.h"
#include "server/store/state_database.h"

namespace sidelb::store {

class SqliteStore final : public control::Store {
 public:
  struct Opened {
    std::shared_ptr<SqliteStore> store;
    std::shared_ptr<const control::StoredState> state;
  };

  // Takes the folder, which is made if it is not there, and reads what it holds. A database that is
  // damaged is kept aside as state.db.corrupt-TIME, and a new one begun; the condition
  // STORE_CORRUPT of the state says so. Errors name the folder and what to do.
  static absl::StatusOr<Opened> Open(const std::string& folder, absl::Time now,
                                     const std::string& vfs = "");
  ~SqliteStore() override;

  void Write(control::StoreGroup group, std::function<void(absl::Status)> done) override;
  void Stop() override;

 private:
  struct Work {
    control::StoreGroup group;
    std::function<void(absl::Status)> done;
  };

  explicit SqliteStore(int lock) : lock_(lock) {}
  void Run();

  const int lock_;  // the descriptor of the lock file
  std::unique_ptr<StateDatabase> database_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::optional<Work> work_;  // guarded by mutex_
  bool is_stopping_ = false;  // guarded by mutex_
  std::thread thread_;
};

}  // namespace sidelb::store
