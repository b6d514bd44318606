#include "server/store/sqlite_store.h"

#include <fcntl.h>
#include <pthread.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <system_error>

#include "fmt/format.h"

namespace sidelb::store {
namespace {

namespace fs = std::filesystem;

absl::Status FolderError(const std::string& folder, std::string_view why) {
  return absl::FailedPreconditionError(fmt::format("--state-dir {}: {}", folder, why));
}

// The descriptor of the lock, which is held until it is closed, by the end of the process too.
absl::StatusOr<int> Lock(const std::string& folder) {
  const std::string path = folder + "/lock";
  const int lock = open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0640);
  if (lock < 0) {
    return FolderError(folder, fmt::format("the file lock cannot be made: {}; allowed: a folder "
                                           "that sidelb may write",
                                           std::strerror(errno)));
  }
  if (flock(lock, LOCK_EX | LOCK_NB) != 0) {
    char holder[32] = {};
    const ssize_t size = pread(lock, holder, sizeof(holder) - 1, 0);
    close(lock);
    const std::string pid = size > 0 ? std::string(holder, strcspn(holder, "\n")) : "";
    return FolderError(folder, fmt::format("another sidelb uses it{}; allowed: a folder of its own "
                                           "for each daemon",
                                           pid.empty() ? "" : " (process " + pid + ")"));
  }
  const std::string pid = fmt::format("{}\n", getpid());
  // Only for the error above.
  if (ftruncate(lock, 0) == 0 && pwrite(lock, pid.data(), pid.size(), 0) < 0) errno = 0;
  return lock;
}

// state.db and its WAL under other names, out of the way.
absl::StatusOr<std::string> KeepAside(const std::string& folder, absl::Time now) {
  const std::string path = folder + "/state.db";
  const std::string stem = fmt::format(
      "{}.corrupt-{}", path, absl::FormatTime("%Y%m%dT%H%M%SZ", now, absl::UTCTimeZone()));
  std::string aside = stem;
  for (int i = 1; fs::exists(aside); ++i) aside = fmt::format("{}.{}", stem, i);
  for (const char* suffix : {"", "-wal", "-shm", "-journal"}) {
    if (std::rename((path + suffix).c_str(), (aside + suffix).c_str()) != 0 && errno != ENOENT) {
      return FolderError(folder, fmt::format("state.db is damaged and cannot be renamed to {}: {}",
                                             aside, std::strerror(errno)));
    }
  }
  const int directory = open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (directory >= 0) {
    fsync(directory);
    close(directory);
  }
  return aside;
}

}  // namespace

absl::StatusOr<SqliteStore::Opened> SqliteStore::Open(const std::string& folder, absl::Time now,
                                                      const std::string& vfs) {
  std::error_code error;
  const bool is_new = fs::create_directories(folder, error);
  if (error) return FolderError(folder, fmt::format("cannot be made: {}", error.message()));
  // It tells who may reach what.
  if (is_new) fs::permissions(folder, fs::perms::owner_all, error);
  const absl::StatusOr<int> lock = Lock(folder);
  if (!lock.ok()) return lock.status();
  std::shared_ptr<SqliteStore> store(new SqliteStore(*lock));

  const std::string path = folder + "/state.db";
  std::vector<control::Condition> conditions;
  for (;;) {
    absl::StatusOr<control::StoredState> state = control::StoredState();
    absl::StatusOr<std::unique_ptr<StateDatabase>> database = StateDatabase::Open(path, vfs);
    if (database.ok()) {
      state = (*database)->Load();
    } else {
      state = database.status();
    }
    if (state.ok()) {
      store->database_ = *std::move(database);
      state->conditions = std::move(conditions);
      store->thread_ = std::thread([self = store.get()] { self->Run(); });
      pthread_setname_np(store->thread_.native_handle(), "slb-store");
      return Opened{std::move(store),
                    std::make_shared<const control::StoredState>(*std::move(state))};
    }
    if (!absl::IsDataLoss(state.status()) || !conditions.empty()) {
      return FolderError(folder, std::string(state.status().message()));
    }
    database = absl::UnknownError("closed");
    const absl::StatusOr<std::string> aside = KeepAside(folder, now);
    if (!aside.ok()) return aside.status();
    conditions.push_back({.code = "STORE_CORRUPT",
                          .detail = fmt::format("{}; kept as {}, and begun anew without it",
                                                std::string(state.status().message()), *aside),
                          .since = now});
  }
}

SqliteStore::~SqliteStore() {
  Stop();
  database_.reset();
  close(lock_);
}

void SqliteStore::Write(control::StoreGroup group, std::function<void(absl::Status)> done) {
  const std::lock_guard lock(mutex_);
  work_ = Work{std::move(group), std::move(done)};
  changed_.notify_one();
}

void SqliteStore::Stop() {
  {
    const std::lock_guard lock(mutex_);
    is_stopping_ = true;
    changed_.notify_one();
  }
  if (thread_.joinable()) thread_.join();
}

void SqliteStore::Run() {
  std::unique_lock lock(mutex_);
  for (;;) {
    changed_.wait(lock, [this] { return work_.has_value() || is_stopping_; });
    if (!work_.has_value()) return;
    const Work work = *std::exchange(work_, std::nullopt);
    lock.unlock();
    work.done(database_->Write(work.group));
    lock.lock();
  }
}

}  // namespace sidelb::store
