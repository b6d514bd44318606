// What UdpSender makes of the datagrams that are queued: messages, their order, their segments.
#include "dataplane/net/udp_sender.h"

#include <gtest/gtest.h>
#include <netinet/udp.h>

#include <cerrno>
#include <cstring>
#include <initializer_list>
#include <memory>
#include <random>
#include <string>
#include <utility>
#include <vector>

namespace sidelb {
namespace {

// A message as the kernel would read it.
struct Message {
  std::string data;
  int segment = 0;  // 0: one datagram
  uint16_t port = 0;
  bool has_local = false;

  std::vector<std::string> Datagrams() const {
    if (segment == 0) return {data};
    std::vector<std::string> datagrams;
    for (size_t at = 0; at < data.size(); at += static_cast<size_t>(segment)) {
      datagrams.push_back(data.substr(at, static_cast<size_t>(segment)));
    }
    return datagrams;
  }
};

Message Read(const msghdr& header) {
  Message message;
  for (size_t i = 0; i < header.msg_iovlen; ++i) {
    message.data.append(static_cast<const char*>(header.msg_iov[i].iov_base),
                        header.msg_iov[i].iov_len);
  }
  if (header.msg_name != nullptr) {
    message.port = ntohs(static_cast<const sockaddr_in*>(header.msg_name)->sin_port);
  }
  msghdr copy = header;
  for (cmsghdr* control = CMSG_FIRSTHDR(&copy); control != nullptr;
       control = CMSG_NXTHDR(&copy, control)) {
    if (control->cmsg_level == IPPROTO_UDP && control->cmsg_type == UDP_SEGMENT) {
      uint16_t segment;
      std::memcpy(&segment, CMSG_DATA(control), sizeof(segment));
      message.segment = segment;
    }
    if (control->cmsg_type == IP_PKTINFO) message.has_local = true;
  }
  return message;
}

std::vector<Message> Prepared(UdpSender& sender) {
  std::vector<Message> messages;
  for (const mmsghdr& message : sender.Prepare()) messages.push_back(Read(message.msg_hdr));
  return messages;
}

RawPeer Peer(uint16_t port) {
  RawPeer peer{.address = {}, .size = sizeof(sockaddr_in)};
  auto* const v4 = reinterpret_cast<sockaddr_in*>(&peer.address);
  v4->sin_family = AF_INET;
  v4->sin_port = htons(port);
  return peer;
}

void IgnoreRefusal(const RawPeer&, const LocalAddress&, uint16_t) {}

class UdpSenderTest : public ::testing::Test {
 protected:
  // Its data lives as long as the test.
  void Add(std::string data, size_t segment = 0, const RawPeer* peer = nullptr,
           uint16_t largest = UdpSender::kAnySegment) {
    kept_.push_back(std::make_unique<std::string>(std::move(data)));
    const std::string& held = *kept_.back();
    sender_.Add({.data = held, .segment = segment == 0 ? held.size() : segment}, peer, {}, largest);
  }
  void AddSizes(std::initializer_list<size_t> sizes) {
    for (const size_t size : sizes) Add(std::string(size, 'x'));
  }
  // The sizes of all messages, and their segments.
  std::vector<std::pair<size_t, int>> Sizes() {
    std::vector<std::pair<size_t, int>> sizes;
    for (const Message& message : Prepared(sender_)) {
      sizes.emplace_back(message.data.size(), message.segment);
    }
    return sizes;
  }

  UdpSender sender_;
  std::vector<std::unique_ptr<std::string>> kept_;
};

using Pairs = std::vector<std::pair<size_t, int>>;

TEST_F(UdpSenderTest, ADatagramAloneHasNoSegments) {
  AddSizes({100});
  EXPECT_EQ(Sizes(), (Pairs{{100, 0}}));
  EXPECT_EQ(sender_.size(), 1u);
  EXPECT_EQ(sender_.bytes(), 100u);
}

TEST_F(UdpSenderTest, EqualSizesAndAShorterLastOneAreOneMessage) {
  AddSizes({100, 100, 100, 30});
  EXPECT_EQ(Sizes(), (Pairs{{330, 100}}));
}

TEST_F(UdpSenderTest, AfterAShorterOneANewMessageBegins) {
  AddSizes({100, 30, 30, 100});
  EXPECT_EQ(Sizes(), (Pairs{{130, 100}, {30, 0}, {100, 0}}));
}

TEST_F(UdpSenderTest, ALargerOneBeginsANewMessage) {
  AddSizes({100, 200, 200});
  EXPECT_EQ(Sizes(), (Pairs{{100, 0}, {400, 200}}));
}

TEST_F(UdpSenderTest, AnEmptyDatagramIsAMessageOfItsOwn) {
  AddSizes({100, 0, 0, 100});
  EXPECT_EQ(Sizes(), (Pairs{{100, 0}, {0, 0}, {0, 0}, {100, 0}}));
}

TEST_F(UdpSenderTest, TrainsOfOneSizeAreJoined) {
  Add(std::string(500, 'a'), 100);
  Add(std::string(300, 'b'), 100);
  Add(std::string(230, 'c'), 100);  // after its short end nothing more
  Add(std::string(100, 'd'));
  EXPECT_EQ(Sizes(), (Pairs{{1'030, 100}, {100, 0}}));
  EXPECT_EQ(sender_.size(), 12u);
}

TEST_F(UdpSenderTest, AnotherPeerIsAnotherMessage) {
  const RawPeer one = Peer(1), two = Peer(2);
  Add("aaa", 0, &one);
  Add("bbb", 0, &one);
  Add("ccc", 0, &two);
  Add("ddd", 0, &one);
  const std::vector<Message> messages = Prepared(sender_);
  ASSERT_EQ(messages.size(), 3u);
  EXPECT_EQ(messages[0].data, "aaabbb");
  EXPECT_EQ(messages[0].port, 1);
  EXPECT_EQ(messages[1].data, "ccc");
  EXPECT_EQ(messages[1].port, 2);
  EXPECT_EQ(messages[2].data, "ddd");
}

TEST_F(UdpSenderTest, AnotherLocalAddressIsAnotherMessageAndIsWritten) {
  const RawPeer peer = Peer(1);
  LocalAddress local{.family = AF_INET, .address = {}};
  sender_.Add({.data = "aaa", .segment = 3}, &peer, local, UdpSender::kAnySegment);
  sender_.Add({.data = "bbb", .segment = 3}, &peer, local, UdpSender::kAnySegment);
  local.address.s6_addr[3] = 9;
  sender_.Add({.data = "ccc", .segment = 3}, &peer, local, UdpSender::kAnySegment);
  const std::vector<Message> messages = Prepared(sender_);
  ASSERT_EQ(messages.size(), 2u);
  EXPECT_EQ(messages[0].segment, 3);
  EXPECT_TRUE(messages[0].has_local);
  EXPECT_TRUE(messages[1].has_local);
}

TEST_F(UdpSenderTest, AMessageHasAtMost64SegmentsAndNotMoreBytesThanIpv6Takes) {
  Add(std::string(100, 'x'), 1);
  EXPECT_EQ(Sizes(), (Pairs{{64, 1}, {36, 1}}));
  sender_.Clear();
  for (int i = 0; i < 2; ++i) Add(std::string(60'000, 'x'), 20'000);
  EXPECT_EQ(Sizes(), (Pairs{{60'000, 20'000}, {60'000, 20'000}}));
  sender_.Clear();
  AddSizes({65'507, 65'507});
  EXPECT_EQ(Sizes(), (Pairs{{65'507, 0}, {65'507, 0}}));
}

TEST_F(UdpSenderTest, WhatIsSentPartlyGoesOnWhereItEnded) {
  Add(std::string(64, 'a') + std::string(36, 'b'), 1);
  AddSizes({500});
  ASSERT_EQ(Sizes().size(), 3u);
  sender_.Advance(1);
  EXPECT_EQ(sender_.size(), 37u);
  EXPECT_EQ(sender_.bytes(), 536u);
  EXPECT_EQ(Prepared(sender_)[0].data, std::string(36, 'b'));
  sender_.Advance(2);
  EXPECT_EQ(sender_.size(), 0u);
  EXPECT_EQ(sender_.bytes(), 0u);
}

TEST_F(UdpSenderTest, EmptyDatagramsCountAsSent) {
  AddSizes({0, 0, 7});
  ASSERT_EQ(Sizes().size(), 3u);
  sender_.Advance(2);
  EXPECT_EQ(sender_.size(), 1u);
  EXPECT_EQ(Sizes(), (Pairs{{7, 0}}));
}

TEST_F(UdpSenderTest, WhatRefusesSegmentsGetsThemSingly) {
  const RawPeer peer = Peer(7);
  Add(std::string(250, 'x'), 100, &peer);
  ASSERT_EQ(Sizes(), (Pairs{{250, 100}}));
  int told = 0;
  const auto on_refused = [&](const RawPeer& to, const LocalAddress&, uint16_t largest) {
    ++told;
    EXPECT_EQ(to, peer);
    EXPECT_EQ(largest, 99);
  };
  EXPECT_TRUE(sender_.Refuse(EINVAL, on_refused));
  EXPECT_EQ(told, 1);
  EXPECT_EQ(Sizes(), (Pairs{{100, 0}, {100, 0}, {50, 0}}));
  EXPECT_FALSE(sender_.Refuse(EINVAL, on_refused)) << "not for want of segments";
  EXPECT_EQ(told, 1);
}

TEST_F(UdpSenderTest, WithoutSegmentationNothingIsJoined) {
  AddSizes({100, 100});
  ASSERT_EQ(Sizes(), (Pairs{{200, 100}}));
  uint16_t limit = 1;
  EXPECT_TRUE(sender_.Refuse(
      EIO, [&](const RawPeer&, const LocalAddress&, uint16_t largest) { limit = largest; }));
  EXPECT_EQ(limit, 0);
  EXPECT_EQ(Sizes(), (Pairs{{100, 0}, {100, 0}}));
}

TEST_F(UdpSenderTest, AnotherErrorIsNoRefusalOfSegments) {
  AddSizes({100, 100});
  ASSERT_EQ(Sizes().size(), 1u);
  for (const int error : {ECONNREFUSED, EAGAIN, ENOBUFS, ENETUNREACH, EPERM}) {
    EXPECT_FALSE(sender_.Refuse(error, IgnoreRefusal)) << error;
  }
  EXPECT_EQ(Sizes(), (Pairs{{200, 100}}));
}

TEST_F(UdpSenderTest, WhatIsKnownToBeRefusedIsNotTried) {
  const RawPeer peer = Peer(1);
  Add(std::string(300, 'x'), 100, &peer, 99);
  EXPECT_EQ(Sizes(), (Pairs{{100, 0}, {100, 0}, {100, 0}}));
  sender_.Clear();
  Add(std::string(300, 'x'), 100, &peer, 100);
  EXPECT_EQ(Sizes(), (Pairs{{300, 100}}));
}

TEST_F(UdpSenderTest, TheFirstDatagramOfATrainIsDroppedAlone) {
  Add(std::string(250, 'x'), 100);
  sender_.DropFirst();
  EXPECT_EQ(sender_.size(), 2u);
  EXPECT_EQ(sender_.bytes(), 150u);
  EXPECT_EQ(Sizes(), (Pairs{{150, 100}}));
  sender_.DropFirst();
  sender_.DropFirst();
  EXPECT_EQ(sender_.size(), 0u);
  EXPECT_EQ(sender_.bytes(), 0u);
}

TEST_F(UdpSenderTest, AMessageIsDroppedWhole) {
  const RawPeer one = Peer(1), two = Peer(2);
  Add(std::string(250, 'x'), 100, &one);
  Add("other", 0, &two);
  sender_.DropMessage();
  EXPECT_EQ(sender_.size(), 1u);
  EXPECT_EQ(Prepared(sender_)[0].port, 2);
  sender_.DropMessage();
  sender_.DropMessage();
  EXPECT_EQ(sender_.size(), 0u);
}

// Whatever is queued: each peer gets what it was sent, in order, datagram by datagram.
TEST_F(UdpSenderTest, AnythingLeavesAsItWasQueued) {
  std::mt19937 random(20261126);
  const auto below = [&](size_t bound) { return random() % bound; };
  for (int round = 0; round < 300; ++round) {
    kept_.clear();
    sender_.Clear();
    std::vector<std::pair<uint16_t, std::string>> expected, seen;
    const size_t trains = 1 + below(UdpSender::kTrains);
    for (size_t i = 0; i < trains; ++i) {
      const RawPeer peer = Peer(static_cast<uint16_t>(1 + below(2)));
      const size_t segment = below(4) == 0 ? below(3) : 1 + below(40) * 100;
      const size_t size = segment == 0 ? 0 : 1 + below(segment * (1 + below(70)));
      std::string data(std::min<size_t>(size, 65'507), '\0');
      for (size_t at = 0; at < data.size(); at += 97) data[at] = static_cast<char>(random());
      const uint16_t port = ntohs(reinterpret_cast<const sockaddr_in&>(peer.address).sin_port);
      size_t at = 0;
      do {
        expected.emplace_back(port, data.substr(at, segment));
        at += segment;
      } while (at < data.size());
      Add(std::move(data), segment, &peer,
          static_cast<uint16_t>(below(4) == 0 ? 500 : UdpSender::kAnySegment));
    }
    ASSERT_EQ(sender_.size(), expected.size());
    while (sender_.size() > 0) {
      const std::vector<Message> messages = Prepared(sender_);
      ASSERT_FALSE(messages.empty());
      if (below(5) == 0 && sender_.Refuse(EMSGSIZE, IgnoreRefusal)) continue;
      const size_t sent = 1 + below(messages.size());
      for (size_t i = 0; i < sent; ++i) {
        for (std::string& datagram : messages[i].Datagrams()) {
          seen.emplace_back(messages[i].port, std::move(datagram));
        }
      }
      sender_.Advance(static_cast<int>(sent));
    }
    ASSERT_EQ(seen, expected) << "round " << round;
    ASSERT_EQ(sender_.bytes(), 0u);
  }
}

}  // namespace
}  // namespace sidelb
