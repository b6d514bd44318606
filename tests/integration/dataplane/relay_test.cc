// How a Relay moves bytes: what it copies, and what it lets the kernel splice.
#include "dataplane/net/relay.h"

#include <gtest/gtest.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <string>
#include <string_view>

#include "dataplane/base/unique_fd.h"

namespace sidelb {
namespace {

constexpr size_t kFull = RelayResources::kScratchBytes;
constexpr char kUntouched = '#';

// A relay between two pairs of sockets, of which the tests have the outer ends.
class RelayTest : public ::testing::Test {
 protected:
  void SetUp() override {
    for (int i : {0, 1}) {
      int ends[2];
      ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends), 0);
      inner_[i].Reset(ends[0]);
      outer_[i].Reset(ends[1]);
      const int bytes = 1 << 20;
      for (int end : ends) {
        ASSERT_EQ(setsockopt(end, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof(bytes)), 0);
      }
    }
    relay_.Start(inner_[0].get(), inner_[1].get());
  }

  // Sends `size` bytes of `letter` to the client, and says whether they went through user space.
  bool IsCopied(char letter, size_t size) {
    std::fill_n(resources_.scratch.get(), kFull, kUntouched);
    const std::string data(size, letter);
    EXPECT_EQ(send(outer_[1].get(), data.data(), size, 0), static_cast<ssize_t>(size));
    Relay::Outcome outcome = relay_.OnEvents(Side::kUpstream, EPOLLIN);
    while (outcome == Relay::Outcome::kYield) outcome = relay_.Continue();
    EXPECT_EQ(outcome, Relay::Outcome::kOpen);
    EXPECT_TRUE(TakeAll() == data);
    return resources_.scratch[0] != kUntouched;
  }
  std::string TakeAll() {
    std::string taken;
    std::array<char, 65536> buffer;
    for (;;) {
      const ssize_t size = recv(outer_[0].get(), buffer.data(), buffer.size(), 0);
      if (size <= 0) return taken;
      taken.append(buffer.data(), static_cast<size_t>(size));
    }
  }
  void BeginToSplice() {
    EXPECT_TRUE(IsCopied('a', kFull));
    EXPECT_TRUE(IsCopied('b', kFull));
  }

  PipeBudget budget_{4};
  RelayResources resources_{budget_};
  UniqueFd inner_[2];
  UniqueFd outer_[2];
  Relay relay_{resources_};
};

TEST_F(RelayTest, SmallMessagesAreCopied) {
  for (int i = 0; i < 20; ++i) EXPECT_TRUE(IsCopied('m', 64));
}

TEST_F(RelayTest, AStreamIsSplicedFromItsSecondFullBufferOn) {
  EXPECT_TRUE(IsCopied('a', kFull));
  EXPECT_TRUE(IsCopied('b', 64)) << "not two in a row";
  BeginToSplice();
  EXPECT_FALSE(IsCopied('c', kFull));
}

TEST_F(RelayTest, AStreamThatRunsDryForAMomentStaysSpliced) {
  BeginToSplice();
  for (int round = 0; round < 3; ++round) {
    for (int i = 0; i < 6; ++i) EXPECT_FALSE(IsCopied('s', 64));
    EXPECT_FALSE(IsCopied('l', kFull));
  }
}

TEST_F(RelayTest, ChunksThatHaveTurnedSmallAreCopiedAgain) {
  BeginToSplice();
  for (int i = 0; i < 8; ++i) EXPECT_FALSE(IsCopied('s', 64));
  EXPECT_TRUE(IsCopied('t', 64));
  EXPECT_TRUE(IsCopied('u', kFull));
  EXPECT_TRUE(IsCopied('v', kFull));
  EXPECT_FALSE(IsCopied('w', kFull));
}

TEST_F(RelayTest, WithoutAPipeItCopies) {
  while (budget_.Take()) {
  }
  BeginToSplice();
  EXPECT_TRUE(IsCopied('c', kFull));
}

}  // namespace
}  // namespace sidelb
