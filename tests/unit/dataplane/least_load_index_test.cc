#include "dataplane/pool/least_load_index.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <vector>

#include "tests/unit/dataplane/test_pool.h"

namespace sidelb {
namespace {

using testing::TestPool;

TEST(LeastLoadIndexTest, TakesTheLeastLoadedAndThenTheOldestPick) {
  TestPool pool({1, 1, 1});
  LeastLoadIndex index;
  for (size_t i = 0; i < 3; ++i) index.Put(&pool[i]->load, 1, 0);
  bool full = false;
  std::vector<BackendLoad*> first;
  for (int i = 0; i < 3; ++i) first.push_back(index.Acquire({}, &full));
  for (size_t i = 0; i < 3; ++i) EXPECT_EQ(pool[i]->load.active, 1u);
  // All are equal again: the order of the first round repeats.
  for (int i = 0; i < 3; ++i) EXPECT_EQ(index.Acquire({}, &full), first[i]);
  index.ReleaseOne(&pool[2]->load);
  EXPECT_EQ(index.Acquire({}, &full), &pool[2]->load);
}

TEST(LeastLoadIndexTest, CountsInProportionToWeights) {
  TestPool pool({1, 2, 4});
  LeastLoadIndex index;
  for (size_t i = 0; i < 3; ++i) index.Put(&pool[i]->load, pool.members[i].weight, 0);
  bool full = false;
  for (int i = 0; i < 700; ++i) ASSERT_NE(index.Acquire({}, &full), nullptr);
  EXPECT_EQ(pool[0]->load.active, 100u);
  EXPECT_EQ(pool[1]->load.active, 200u);
  EXPECT_EQ(pool[2]->load.active, 400u);
}

TEST(LeastLoadIndexTest, AFullMemberIsParkedUntilAPlaceIsFree) {
  TestPool pool({1, 1});
  LeastLoadIndex index;
  index.Put(&pool[0]->load, 1, 1);
  index.Put(&pool[1]->load, 1, 2);
  bool full = false;
  for (int i = 0; i < 3; ++i) ASSERT_NE(index.Acquire({}, &full), nullptr);
  EXPECT_EQ(index.Acquire({}, &full), nullptr);
  EXPECT_TRUE(full);
  index.ReleaseOne(&pool[0]->load);
  EXPECT_EQ(index.Acquire({}, &full), &pool[0]->load);
  // A higher limit frees a place as well.
  index.Put(&pool[1]->load, 1, 3);
  EXPECT_EQ(index.Acquire({}, &full), &pool[1]->load);
  EXPECT_EQ(index.Acquire({}, &full), nullptr);
  EXPECT_TRUE(full);
  EXPECT_EQ(index.size(), 2u);
}

TEST(LeastLoadIndexTest, PassesOverEightTriedMembers) {
  TestPool pool(std::vector<uint32_t>(9, 1));
  LeastLoadIndex index;
  for (size_t i = 0; i < 9; ++i) index.Put(&pool[i]->load, 1, 0);
  std::vector<Backend*> tried;
  for (size_t i = 0; i < 9; ++i) {
    if (i != 4) tried.push_back(pool[i]);
  }
  bool full = true;
  for (int i = 0; i < 20; ++i) EXPECT_EQ(index.Acquire(tried, &full), &pool[4]->load);
  index.Remove(&pool[4]->load);
  EXPECT_EQ(index.Acquire(tried, &full), nullptr);
  EXPECT_FALSE(full);
}

TEST(LeastLoadIndexTest, AnEmptyIndexHasNobody) {
  LeastLoadIndex index;
  bool full = true;
  EXPECT_EQ(index.Acquire({}, &full), nullptr);
  EXPECT_FALSE(full);
  EXPECT_EQ(index.size(), 0u);
}

TEST(LeastLoadIndexTest, ARemovedMemberStillGivesItsPlacesBackThroughTheIndex) {
  TestPool pool({1});
  LeastLoadIndex index;
  index.Put(&pool[0]->load, 1, 0);
  bool full = false;
  index.Acquire({}, &full);
  index.Remove(&pool[0]->load);
  index.Remove(&pool[0]->load);  // twice is once
  EXPECT_EQ(pool[0]->load.index, &index);
  EXPECT_EQ(index.Acquire({}, &full), nullptr);
  EXPECT_TRUE(TryAcquire(&pool[0]->load, 2));
  EXPECT_FALSE(TryAcquire(&pool[0]->load, 2));
  Release(&pool[0]->load);
  Release(&pool[0]->load);
  EXPECT_EQ(pool[0]->load.active, 0u);
  index.Detach(&pool[0]->load);
  EXPECT_EQ(pool[0]->load.index, nullptr);
}

TEST(LeastLoadIndexTest, ResyncRepairsWhatChangedWithoutTheLock) {
  TestPool pool({1, 1, 1});
  LeastLoadIndex index;
  for (size_t i = 0; i < 3; ++i) index.Put(&pool[i]->load, 1, 10);
  pool[0]->load.active = 10;  // full
  pool[1]->load.active = 5;
  pool[2]->load.active = 7;
  index.Resync();
  bool full = false;
  EXPECT_EQ(index.Acquire({}, &full), &pool[1]->load);
  EXPECT_EQ(index.Acquire({}, &full), &pool[1]->load);
  EXPECT_TRUE(full);
  pool[0]->load.active = 0;
  index.Resync();
  EXPECT_EQ(index.Acquire({}, &full), &pool[0]->load);
  EXPECT_FALSE(full);
}

// The index against a look through a plain list, with random operations.
class IndexModel {
 public:
  IndexModel(uint32_t seed, size_t backends)
      : random_(seed), pool_(std::vector<uint32_t>(backends, 1)), members_(backends) {}
  ~IndexModel() {
    for (size_t i = 0; i < members_.size(); ++i) index_.Detach(&pool_[i]->load);
  }

  void Step() {
    const size_t i = Draw(members_.size());
    Member& member = members_[i];
    BackendLoad* const load = &pool_[i]->load;
    switch (Draw(16)) {
      case 0:
      case 1:
        member.is_member = member.is_attached = true;
        member.weight = 1 + static_cast<uint32_t>(Draw(4));
        member.limit = Draw(2) == 0 ? 0 : 1 + static_cast<uint32_t>(Draw(6));
        index_.Put(load, member.weight, member.limit);
        break;
      case 2:
        member.is_member = false;
        index_.Remove(load);
        break;
      case 3:
        if (Draw(3) != 0) break;
        member.is_member = member.is_attached = false;
        index_.Detach(load);
        break;
      case 4:
        member.active = static_cast<uint32_t>(Draw(8));
        load->active = member.active;
        index_.Resync();
        break;
      case 5:
      case 6:
        AcquireOne(&member, load);
        break;
      case 7:
      case 8:
      case 9:
      case 10:
        if (member.active == 0) break;
        --member.active;
        Release(load);
        break;
      default:
        Acquire();
        break;
    }
    ASSERT_EQ(load->active, member.active);
    ASSERT_EQ(load->index, member.is_attached ? &index_ : nullptr);
    ASSERT_EQ(index_.size(),
              static_cast<size_t>(std::count_if(members_.begin(), members_.end(),
                                                [](const Member& m) { return m.is_member; })));
  }

  int acquired() const { return acquired_; }
  int refused() const { return refused_; }

 private:
  struct Member {
    bool is_member = false;
    bool is_attached = false;
    uint32_t weight = 1;
    uint32_t limit = 0;
    uint32_t active = 0;
    uint64_t last_pick = 0;
    bool is_full() const { return limit != 0 && active >= limit; }
  };

  uint64_t Draw(uint64_t below) { return random_() % below; }

  static bool Less(const Member& a, const Member& b) {
    const uint64_t left = uint64_t{a.active} * b.weight, right = uint64_t{b.active} * a.weight;
    return left != right ? left < right : a.last_pick < b.last_pick;
  }

  void AcquireOne(Member* member, BackendLoad* load) {
    const auto limit = static_cast<uint32_t>(Draw(6));
    const bool has_place = limit == 0 || member->active < limit;
    ASSERT_EQ(TryAcquire(load, limit), has_place);
    if (!has_place) return;
    ++member->active;
    if (member->is_member) member->last_pick = ++picks_;
  }

  void Acquire() {
    std::vector<Backend*> tried;
    for (uint64_t n = Draw(9); n > 0; --n) tried.push_back(pool_[Draw(members_.size())]);
    const Member* least = nullptr;
    bool any_full = false;
    for (size_t i = 0; i < members_.size(); ++i) {
      const Member& member = members_[i];
      if (!member.is_member) continue;
      any_full = any_full || member.is_full();
      if (member.is_full() || std::find(tried.begin(), tried.end(), pool_[i]) != tried.end()) {
        continue;
      }
      if (least == nullptr || Less(member, *least)) least = &member;
    }
    bool full = !any_full;
    BackendLoad* const load = index_.Acquire(tried, &full);
    ASSERT_EQ(full, any_full);
    ASSERT_EQ(load != nullptr, least != nullptr);
    if (load == nullptr) {
      ++refused_;
      return;
    }
    ++acquired_;
    Member& taken = members_[static_cast<size_t>(pool_.IndexOf(load->backend))];
    ASSERT_EQ(std::find(tried.begin(), tried.end(), load->backend), tried.end());
    // Members that were never picked are equal; any of them will do.
    ASSERT_TRUE(taken.is_member && !taken.is_full() && !Less(*least, taken));
    ++taken.active;
    taken.last_pick = ++picks_;
  }

  std::mt19937_64 random_;
  TestPool pool_;
  LeastLoadIndex index_;
  std::vector<Member> members_;
  uint64_t picks_ = 0;
  int acquired_ = 0;
  int refused_ = 0;
};

TEST(LeastLoadIndexTest, AgreesWithALookThroughAllMembers) {
  int acquired = 0, refused = 0;
  for (uint32_t seed = 1; seed <= 20; ++seed) {
    for (size_t backends : {1u, 4u, 12u, 60u}) {
      SCOPED_TRACE(::testing::Message() << "seed " << seed << ", " << backends << " backends");
      IndexModel model(seed, backends);
      for (int i = 0; i < 2'000; ++i) {
        model.Step();
        if (HasFatalFailure()) return;
      }
      acquired += model.acquired();
      refused += model.refused();
    }
  }
  EXPECT_GT(acquired, 10'000);
  EXPECT_GT(refused, 1'000);
}

}  // namespace
}  // namespace sidelb
