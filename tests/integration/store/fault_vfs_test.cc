#include "tests/integration/store/fault_vfs.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <random>

namespace sidelb::store {
namespace {

constexpr size_t kSector = 512;

struct File {
  sqlite3_file base;
  FaultVfs* vfs;
  std::string* path;
};

FaultVfs::Content& ContentOf(sqlite3_file* file) {
  auto* self = reinterpret_cast<File*>(file);
  return self->vfs->At(*self->path);
}
FaultVfs* VfsOf(sqlite3_file* file) { return reinterpret_cast<File*>(file)->vfs; }
FaultVfs* VfsOf(sqlite3_vfs* vfs) { return static_cast<FaultVfs*>(vfs->pAppData); }

void Put(std::string* into, size_t offset, std::string_view bytes) {
  if (into->size() < offset + bytes.size()) into->resize(offset + bytes.size());
  into->replace(offset, bytes.size(), bytes);
}

int Close(sqlite3_file* file) {
  delete reinterpret_cast<File*>(file)->path;
  return SQLITE_OK;
}

int Read(sqlite3_file* file, void* into, int size, sqlite3_int64 offset) {
  if (VfsOf(file)->is_cut()) return SQLITE_IOERR_READ;
  const std::string& now = ContentOf(file).now;
  const size_t begin = std::min(now.size(), static_cast<size_t>(offset));
  const size_t count = std::min(now.size() - begin, static_cast<size_t>(size));
  std::memcpy(into, now.data() + begin, count);
  std::memset(static_cast<char*>(into) + count, 0, size - count);
  return count == static_cast<size_t>(size) ? SQLITE_OK : SQLITE_IOERR_SHORT_READ;
}

int Write(sqlite3_file* file, const void* bytes, int size, sqlite3_int64 offset) {
  FaultVfs::Content& content = ContentOf(file);
  bool is_torn = false;
  const bool grows = static_cast<size_t>(offset) + size > content.now.size();
  const int code = VfsOf(file)->Begin(grows, &is_torn);
  if (code != SQLITE_OK && !is_torn) return code;
  std::string text(static_cast<const char*>(bytes), is_torn ? size / 2 : size);
  Put(&content.now, offset, text);
  content.unsynced.push_back({static_cast<size_t>(offset), std::move(text), std::nullopt});
  return code;
}

int Truncate(sqlite3_file* file, sqlite3_int64 size) {
  bool is_torn = false;
  if (const int code = VfsOf(file)->Begin(false, &is_torn); code != SQLITE_OK) return code;
  FaultVfs::Content& content = ContentOf(file);
  content.now.resize(size);
  content.unsynced.push_back({0, "", static_cast<size_t>(size)});
  return SQLITE_OK;
}

int Sync(sqlite3_file* file, int) {
  bool is_torn = false;
  if (const int code = VfsOf(file)->Begin(false, &is_torn); code != SQLITE_OK) return code;
  FaultVfs::Content& content = ContentOf(file);
  // As SQLite's own files do: the first sync of a new one syncs the folder, too.
  if (!content.existed) VfsOf(file)->SyncFolder();
  content.durable = content.now;
  content.existed = content.exists;
  content.unsynced.clear();
  return SQLITE_OK;
}

int FileSize(sqlite3_file* file, sqlite3_int64* size) {
  *size = static_cast<sqlite3_int64>(ContentOf(file).now.size());
  return SQLITE_OK;
}
int Lock(sqlite3_file*, int) { return SQLITE_OK; }
int CheckReserved(sqlite3_file*, int* is_reserved) {
  *is_reserved = 0;
  return SQLITE_OK;
}
int FileControl(sqlite3_file*, int, void*) { return SQLITE_NOTFOUND; }
int SectorSize(sqlite3_file*) { return kSector; }
int Characteristics(sqlite3_file*) { return 0; }

// Version 1: without shared memory, which exclusive mode does not need.
const sqlite3_io_methods kMethods = {1,           Close,      Read,           Write, Truncate,
                                     Sync,        FileSize,   Lock,           Lock,  CheckReserved,
                                     FileControl, SectorSize, Characteristics};

int Open(sqlite3_vfs* vfs, const char* name, sqlite3_file* file, int flags, int* out_flags) {
  file->pMethods = nullptr;
  FaultVfs* self = VfsOf(vfs);
  if (self->is_cut()) return SQLITE_CANTOPEN;
  const std::string path = name == nullptr ? "temporary" : name;
  FaultVfs::Content& content = self->At(path);
  if (!content.exists && (flags & SQLITE_OPEN_CREATE) == 0) return SQLITE_CANTOPEN;
  content.exists = true;
  auto* opened = reinterpret_cast<File*>(file);
  opened->vfs = self;
  opened->path = new std::string(path);
  file->pMethods = &kMethods;
  if (out_flags != nullptr) *out_flags = flags;
  return SQLITE_OK;
}

int Delete(sqlite3_vfs* vfs, const char* name, int syncs_folder) {
  bool is_torn = false;
  if (const int code = VfsOf(vfs)->Begin(false, &is_torn); code != SQLITE_OK) return code;
  FaultVfs::Content& content = VfsOf(vfs)->At(name);
  if (!content.exists) return SQLITE_IOERR_DELETE_NOENT;
  content.exists = false;
  content.now.clear();
  content.unsynced.push_back({0, "", size_t{0}});
  if (syncs_folder != 0) VfsOf(vfs)->SyncFolder();
  return SQLITE_OK;
}

int Access(sqlite3_vfs* vfs, const char* name, int, int* is_there) {
  *is_there = VfsOf(vfs)->At(name).exists ? 1 : 0;
  return SQLITE_OK;
}
int FullPathname(sqlite3_vfs*, const char* name, int size, char* into) {
  std::strncpy(into, name, size);
  return SQLITE_OK;
}

}  // namespace

FaultVfs::FaultVfs() : name_("fault-" + std::to_string(reinterpret_cast<uintptr_t>(this))) {
  // Time, randomness and sleep are the system's.
  vfs_ = *sqlite3_vfs_find(nullptr);
  vfs_.iVersion = 1;
  vfs_.szOsFile = sizeof(File);
  vfs_.pNext = nullptr;
  vfs_.zName = name_.c_str();
  vfs_.pAppData = this;
  vfs_.xOpen = Open;
  vfs_.xDelete = Delete;
  vfs_.xAccess = Access;
  vfs_.xFullPathname = FullPathname;
  sqlite3_vfs_register(&vfs_, 0);
}

FaultVfs::~FaultVfs() { sqlite3_vfs_unregister(&vfs_); }

void FaultVfs::SyncFolder() {
  for (auto& [path, content] : files_) {
    if (content.exists || !content.existed) continue;
    content.existed = false;
    content.durable.clear();
    content.unsynced.clear();
  }
}

void FaultVfs::CutAt(int operation) { cut_at_ = operations_ + operation; }

int FaultVfs::Begin(bool grows, bool* is_torn) {
  if (is_cut_) return SQLITE_IOERR;
  const int number = operations_++;
  if (cut_at_ == number) {
    is_cut_ = true;
    *is_torn = true;
    return SQLITE_IOERR;
  }
  if (fail_at_ == number) return SQLITE_IOERR;
  return is_full_ && grows ? SQLITE_FULL : SQLITE_OK;
}

void FaultVfs::Restart(Loss loss, uint32_t seed) {
  std::minstd_rand random(seed);
  const auto arrives = [&] { return loss == Loss::kNone || (loss == Loss::kSome && random() % 2); };
  for (auto& [path, content] : files_) {
    for (const Content::Write& write : content.unsynced) {
      if (write.truncates_to.has_value()) {
        if (arrives()) content.durable.resize(*write.truncates_to);
        continue;
      }
      // Sector by sector, as disks write.
      for (size_t begin = 0; begin < write.bytes.size(); begin += kSector) {
        const size_t size = std::min(kSector, write.bytes.size() - begin);
        if (arrives()) {
          Put(&content.durable, write.offset + begin,
              std::string_view(write.bytes).substr(begin, size));
        }
      }
    }
    content.now = content.durable;
    content.unsynced.clear();
    content.exists = content.existed || !content.now.empty();
    content.existed = content.exists;
  }
  is_cut_ = false;
  is_full_ = false;
  cut_at_.reset();
  fail_at_.reset();
}

TEST(FaultVfsTest, OnlyWhatWasSyncedOutlastsThePower) {
  for (const bool syncs : {false, true}) {
    FaultVfs vfs;
    sqlite3* db = nullptr;
    ASSERT_EQ(sqlite3_open_v2("one.db", &db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE,
                              vfs.name().c_str()),
              SQLITE_OK);
    sqlite3_exec(db, syncs ? "PRAGMA synchronous=FULL" : "PRAGMA synchronous=OFF", nullptr, nullptr,
                 nullptr);
    sqlite3_exec(db, "CREATE TABLE one (two)", nullptr, nullptr, nullptr);
    vfs.CutAt(0);
    sqlite3_close(db);
    vfs.Restart(FaultVfs::Loss::kAll, 1);
    EXPECT_EQ(vfs.At("one.db").now.empty(), !syncs);
  }
}

}  // namespace sidelb::store
