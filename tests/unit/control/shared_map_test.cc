#include "server/control/shared_map.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <random>

namespace sidelb::control {
namespace {

using ::testing::ElementsAre;
using ::testing::Pair;

// Chunks of four, so that few entries make many.
using Map = SharedMap<int, std::string, 4>;

std::map<int, std::string> Entries(const Map& map) { return {map.begin(), map.end()}; }

TEST(SharedMapTest, IsSortedAndFindsWhatIsThere) {
  Map map;
  EXPECT_TRUE(map.empty());
  EXPECT_EQ(map.begin(), map.end());
  for (int key : {5, 1, 9, 3, 7, 8, 2}) map.insert_or_assign(key, std::to_string(key));
  map.insert_or_assign(3, "three");
  EXPECT_THAT(map, ElementsAre(Pair(1, "1"), Pair(2, "2"), Pair(3, "three"), Pair(5, "5"),
                               Pair(7, "7"), Pair(8, "8"), Pair(9, "9")));
  EXPECT_EQ(map.size(), 7u);
  EXPECT_EQ(map.find(7)->second, "7");
  EXPECT_EQ(map.find(4), map.end());
  EXPECT_EQ(map.find(10), map.end());
  EXPECT_TRUE(map.contains(1));
  EXPECT_FALSE(map.contains(0));
}

TEST(SharedMapTest, ACopyDoesNotSeeWhatIsWrittenToTheOther) {
  Map map;
  for (int key = 0; key < 20; ++key) map.insert_or_assign(key, "old");
  Map copy = map;
  copy.insert_or_assign(3, "new");
  copy.insert_or_assign(20, "new");
  EXPECT_EQ(copy.erase(12), 1u);
  map.insert_or_assign(4, "other");
  EXPECT_EQ(map.find(3)->second, "old");
  EXPECT_EQ(copy.find(4)->second, "old");
  EXPECT_TRUE(map.contains(12));
  EXPECT_FALSE(map.contains(20));
  EXPECT_EQ(map.size(), 20u);
  EXPECT_EQ(copy.size(), 20u);
}

TEST(SharedMapTest, WhatIsNotWrittenIsShared) {
  SharedMap<int, std::string> map;
  for (int key = 0; key < 1000; ++key) map.insert_or_assign(key, "old");
  SharedMap<int, std::string> copy = map;
  copy.insert_or_assign(500, "new");
  EXPECT_EQ(&map.find(3)->second, &copy.find(3)->second);
  EXPECT_NE(&map.find(500)->second, &copy.find(500)->second);
}

TEST(SharedMapTest, RandomEditsOfManyCopiesAgreeWithAMap) {
  std::mt19937 random(7);
  std::vector<std::pair<Map, std::map<int, std::string>>> copies(1);
  for (int step = 0; step < 20'000; ++step) {
    auto& [map, reference] = copies[random() % copies.size()];
    const int key = static_cast<int>(random() % 60);
    switch (random() % 8) {
      case 0:
        if (copies.size() < 4) {
          copies.push_back(copies[random() % copies.size()]);
        } else {
          copies.erase(copies.begin() + static_cast<int>(random() % copies.size()));
        }
        continue;
      case 1:
      case 2:
      case 3:
        ASSERT_EQ(map.erase(key), reference.erase(key)) << "step " << step;
        break;
      default:
        map.insert_or_assign(key, std::to_string(step));
        reference.insert_or_assign(key, std::to_string(step));
    }
    ASSERT_EQ(map.size(), reference.size()) << "step " << step;
    ASSERT_EQ(map.contains(key), reference.contains(key)) << "step " << step;
    if (step % 16 == 0) {
      for (const auto& [one, its_reference] : copies) ASSERT_EQ(Entries(one), its_reference);
    }
  }
}

}  // namespace
}  // namespace sidelb::control
