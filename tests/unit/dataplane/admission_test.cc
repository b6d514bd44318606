#include "dataplane/net/admission.h"

#include <gtest/gtest.h>

namespace sidelb {
namespace {

TEST(Admission, StopsAtItsCapAndGoesOnBelow) {
  DescriptorBudget budget(100);
  Admission admission(2, &budget, 2);
  EXPECT_TRUE(admission.TryEnter());
  EXPECT_TRUE(admission.TryEnter());
  EXPECT_FALSE(admission.TryEnter());
  EXPECT_EQ(admission.active(), 2u);
  admission.Leave();
  EXPECT_TRUE(admission.TryEnter());
}

TEST(Admission, TransportsShareTheDescriptors) {
  DescriptorBudget budget(10);
  Admission tcp(4, &budget, 2), udp(5, &budget, 1);
  for (int i = 0; i < 4; ++i) EXPECT_TRUE(tcp.TryEnter());
  EXPECT_TRUE(udp.TryEnter());
  EXPECT_TRUE(udp.TryEnter());
  // 10 are taken, though UDP has not reached its own cap.
  EXPECT_FALSE(udp.TryEnter());
  EXPECT_EQ(udp.active(), 2u);
  tcp.Leave();
  for (int i = 0; i < 2; ++i) EXPECT_TRUE(udp.TryEnter());
  EXPECT_FALSE(tcp.TryEnter());
  EXPECT_EQ(tcp.active(), 3u);
}

TEST(Admission, WhatWasRefusedTakesNothing) {
  DescriptorBudget budget(3);
  Admission tcp(9, &budget, 2), udp(9, &budget, 1);
  EXPECT_TRUE(tcp.TryEnter());
  EXPECT_FALSE(tcp.TryEnter());  // one descriptor is left, it would need two
  EXPECT_TRUE(udp.TryEnter());
  EXPECT_FALSE(udp.TryEnter());
}

}  // namespace
}  // namespace sidelb
