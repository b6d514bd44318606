// The promise of the store under faults of the disk: cut at every write, sync, truncate and delete,
// no acknowledged group is lost and none is there by half.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "fmt/format.h"
#include "server/store/codec.h"
#include "server/store/state_database.h"
#include "tests/integration/store/fault_vfs.h"

namespace sidelb::store {
namespace {

using control::StoredState;
using control::StoreGroup;

constexpr int kGroups = 9;
constexpr int kBackends = 10;  // of a group

// What a database says, in an order that does not depend on how it was written.
std::string Describe(const StoredState& state) {
  std::vector<std::string> lines;
  for (const auto& listener : state.listeners) {
    lines.push_back("listener " + listener->spec.name + Encode(*listener));
  }
  for (const auto& pool : state.pools) lines.push_back("pool " + pool->spec.name + Encode(*pool));
  for (const auto& backend : state.backends) {
    lines.push_back("backend " + Encode(*backend) + EncodeOrders(*backend));
  }
  for (const auto& request : state.requests) {
    lines.push_back(fmt::format("request {} {} {}", request.number, request.id, request.payload));
  }
  for (const auto& entry : state.audit) lines.push_back(fmt::format("audit {}", entry.number));
  std::sort(lines.begin(), lines.end());
  std::string text = fmt::format("revision {}\n", state.revision);
  for (const std::string& line : lines) text += line + "\n";
  return text;
}

std::shared_ptr<const control::BackendObject> Backend(const std::string& pool, uint64_t revision,
                                                      int number) {
  control::BackendObject object;
  object.pool = pool;
  object.address = *Address::Parse(fmt::format("10.0.{}.{}:80", number / 200, number % 200 + 1));
  object.revision = revision;
  object.claims.push_back({.owner = "api:test",
                           .spec = {.address = object.address, .zone = std::string(200, 'z')},
                           .revision = revision,
                           .order = static_cast<uint64_t>(number)});
  return std::make_shared<control::BackendObject>(std::move(object));
}

// Groups that grow, overwrite and remove, over several pages of the database.
std::vector<StoreGroup> MakeGroups() {
  std::vector<StoreGroup> groups;
  for (int i = 0; i < kGroups; ++i) {
    StoreGroup group{.revision = 100 + static_cast<uint64_t>(i)};
    const std::string pool = fmt::format("pool-{}", i % 3);
    group.pools[pool] =
        std::make_shared<control::PoolObject>(control::PoolObject{{.name = pool}, group.revision});
    for (int j = 0; j < kBackends; ++j) {
      const auto backend = Backend(pool, group.revision, i * kBackends + j);
      group.backends[{pool, backend->address}] = backend;
    }
    if (i == 7) {
      group.pools["pool-0"] = nullptr;
      const auto gone = Backend("pool-2", 0, 2 * kBackends);
      group.backends[{"pool-2", gone->address}] = nullptr;
    }
    group.listeners["front"] = std::make_shared<control::ListenerObject>(control::ListenerObject{
        {.name = "front", .address = *Address::Parse("127.0.0.1:0"), .pool = pool},
        group.revision});
    group.requests.push_back({.number = static_cast<uint64_t>(i + 1),
                              .id = fmt::format("id-{}", i),
                              .payload = 7u * i,
                              .time = absl::FromUnixSeconds(i)});
    group.audit.push_back({.number = static_cast<uint64_t>(i + 1),
                           .revision = group.revision,
                           .time = absl::FromUnixSeconds(i),
                           .owner = "api:test"});
    group.oldest_request = i > 4 ? i - 4 : 0;
    groups.push_back(std::move(group));
  }
  return groups;
}

class CrashTest : public ::testing::Test {
 protected:
  CrashTest() : groups_(MakeGroups()) {
    FaultVfs vfs;
    auto database = *StateDatabase::Open("state.db", vfs.name());
    states_.push_back(Describe(*database->Load()));
    for (const StoreGroup& group : groups_) {
      EXPECT_TRUE(database->Write(group).ok());
      states_.push_back(Describe(*database->Load()));
    }
  }

  // Writes the groups until one fails; how many were acknowledged. In the middle the database is
  // closed and opened again, which moves the log into it.
  size_t WriteUntilCut(const std::string& vfs) const {
    size_t acknowledged = 0;
    for (const size_t end : {groups_.size() / 2, groups_.size()}) {
      auto database = StateDatabase::Open("state.db", vfs);
      if (!database.ok()) return acknowledged;
      while (acknowledged < end && (*database)->Write(groups_[acknowledged]).ok()) ++acknowledged;
      if (acknowledged < end) return acknowledged;
    }
    return acknowledged;
  }

  const std::vector<StoreGroup> groups_;
  std::vector<std::string> states_;  // before the first group, after each
};

TEST_F(CrashTest, NoAcknowledgedGroupIsLostAndNoneIsTornWhereverThePowerGoes) {
  int operations = 0;
  {
    FaultVfs vfs;
    ASSERT_EQ(WriteUntilCut(vfs.name()), groups_.size());
    operations = vfs.operations();
  }
  ASSERT_GT(operations, 50);
  for (const FaultVfs::Loss loss :
       {FaultVfs::Loss::kAll, FaultVfs::Loss::kNone, FaultVfs::Loss::kSome}) {
    for (int n = 0; n < operations; ++n) {
      FaultVfs vfs;
      vfs.CutAt(n);
      const size_t acknowledged = WriteUntilCut(vfs.name());
      vfs.Restart(loss, static_cast<uint32_t>(n + 1));

      auto database = StateDatabase::Open("state.db", vfs.name());
      ASSERT_TRUE(database.ok()) << "cut at " << n << ": " << database.status();
      const auto state = (*database)->Load();
      ASSERT_TRUE(state.ok()) << "cut at " << n << ": " << state.status();

      const std::string found = Describe(*state);
      // The group under way may be there, as a whole.
      const bool is_whole = found == states_[acknowledged] || (acknowledged + 1 < states_.size() &&
                                                               found == states_[acknowledged + 1]);
      ASSERT_TRUE(is_whole) << "cut at " << n << ", loss " << static_cast<int>(loss) << ", "
                            << acknowledged << " acknowledged, found revision " << state->revision;
      // And the next one is taken.
      const size_t next = found == states_[acknowledged] ? acknowledged : acknowledged + 1;
      if (next < groups_.size()) {
        ASSERT_TRUE((*database)->Write(groups_[next]).ok()) << "cut at " << n;
        ASSERT_EQ(Describe(*(*database)->Load()), states_[next + 1]) << "cut at " << n;
      }
    }
  }
}

TEST_F(CrashTest, AnErrorOfAnyOneOperationChangesNothingAndIsSurvived) {
  int operations = 0;
  {
    FaultVfs vfs;
    WriteUntilCut(vfs.name());
    operations = vfs.operations();
  }
  int failures = 0;
  for (int n = 0; n < operations; ++n) {
    FaultVfs vfs;
    auto database = *StateDatabase::Open("state.db", vfs.name());
    vfs.FailAt(n);
    size_t written = 0;
    while (written < groups_.size()) {
      const absl::Status status = database->Write(groups_[written]);
      if (status.ok()) {
        ++written;
        continue;
      }
      ++failures;
      ASSERT_EQ(status.code(), absl::StatusCode::kUnavailable) << status;
      const auto state = database->Load();
      ASSERT_TRUE(state.ok()) << "failed at " << n << ": " << state.status();
      ASSERT_EQ(Describe(*state), states_[written]) << "failed at " << n;
    }
    ASSERT_EQ(Describe(*database->Load()), states_.back()) << "failed at " << n;
  }
  EXPECT_GT(failures, 10);
}

TEST_F(CrashTest, AFullDiskRefusesGroupsUntilThereIsRoom) {
  FaultVfs vfs;
  auto database = *StateDatabase::Open("state.db", vfs.name());
  ASSERT_TRUE(database->Write(groups_[0]).ok());

  vfs.SetFull(true);
  const absl::Status refused = database->Write(groups_[1]);
  vfs.SetFull(false);

  EXPECT_EQ(refused.code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(refused.message()), ::testing::HasSubstr("full"));
  EXPECT_EQ(Describe(*database->Load()), states_[1]);
  EXPECT_TRUE(database->Write(groups_[1]).ok());
  EXPECT_EQ(Describe(*database->Load()), states_[2]);
}

}  // namespace
}  // namespace sidelb::store
