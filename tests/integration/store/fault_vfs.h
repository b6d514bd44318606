// FaultVfs: files in memory for SQLite, with the faults that disks have: a full one, errors, and a
// loss of power at any write, sync, truncate or delete, with writes that were torn or never reached
// the disk.
//
// Between two syncs of a file the disk may hold any of its writes, sector by sector; a sync makes
// all of them durable. A delete is durable when the folder is synced: by itself, by another one, or
// by the first sync of a new file.
//
// Thread safety: one thread. Ownership: the test; no database may be open when it ends.
#pragma once

#include <sqlite3.h>

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace sidelb::store {

class FaultVfs {
 public:
  // What becomes of writes that no sync followed, when the power goes.
  enum class Loss : uint8_t { kNone, kAll, kSome };

  FaultVfs();
  ~FaultVfs();
  FaultVfs(const FaultVfs&) = delete;
  FaultVfs& operator=(const FaultVfs&) = delete;

  const std::string& name() const { return name_; }
  // Writes, syncs, truncates and deletes so far.
  int operations() const { return operations_; }

  // From the operation of this number on (0 = the next one) nothing works: the power is off. A
  // write of that number is torn: its first half arrives.
  void CutAt(int operation);
  // Every write that makes a file grow fails with SQLITE_FULL.
  void SetFull(bool is_full) { is_full_ = is_full; }
  // The operation of this number fails once with SQLITE_IOERR.
  void FailAt(int operation) { fail_at_ = operations_ + operation; }
  bool is_cut() const { return is_cut_; }
  // The power is back: files hold what reached the disk. `seed` chooses, with Loss::kSome.
  void Restart(Loss loss, uint32_t seed);

  // Called by SQLite's methods.
  struct Content {
    std::string now;
    std::string durable;
    struct Write {
      size_t offset = 0;
      std::string bytes;
      std::optional<size_t> truncates_to;
    };
    std::vector<Write> unsynced;
    bool exists = false;
    bool existed = false;  // durably
  };
  Content& At(const std::string& path) { return files_[path]; }
  const std::map<std::string, Content>& files() const { return files_; }
  // Makes deletes durable.
  void SyncFolder();
  // SQLITE_OK, or how the operation fails. `is_torn`: half of it is done nevertheless.
  int Begin(bool grows, bool* is_torn);

 private:
  const std::string name_;
  sqlite3_vfs vfs_{};
  std::map<std::string, Content> files_;
  int operations_ = 0;
  std::optional<int> cut_at_;
  std::optional<int> fail_at_;
  bool is_cut_ = false;
  bool is_full_ = false;
};

}  // namespace sidelb::store
