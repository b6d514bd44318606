#include "dataplane/base/address.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "absl/hash/hash.h"

namespace sidelb {
namespace {

std::string Canonical(std::string_view text) {
  const absl::StatusOr<Address> address = Address::Parse(text);
  return address.ok() ? address->ToString() : std::string(address.status().message());
}

TEST(AddressTest, ParsesAndPrintsCanonically) {
  EXPECT_EQ(Canonical("192.0.2.1:80"), "192.0.2.1:80");
  EXPECT_EQ(Canonical("0.0.0.0:0"), "0.0.0.0:0");
  EXPECT_EQ(Canonical("192.0.2.1:65535"), "192.0.2.1:65535");
  EXPECT_EQ(Canonical("[2001:DB8:0:0::1]:80"), "[2001:db8::1]:80");
  EXPECT_EQ(Canonical("[::]:443"), "[::]:443");
}

TEST(AddressTest, AV4MappedAddressIsIpv4) {
  const Address address = *Address::Parse("[::ffff:192.0.2.1]:80");
  EXPECT_FALSE(address.is_v6());
  EXPECT_EQ(address, *Address::Parse("192.0.2.1:80"));

  sockaddr_in6 mapped{};
  mapped.sin6_family = AF_INET6;
  mapped.sin6_port = htons(80);
  const unsigned char bytes[16] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 192, 0, 2, 1};
  std::copy(bytes, bytes + 16, mapped.sin6_addr.s6_addr);
  EXPECT_EQ(Address::FromSockaddr(reinterpret_cast<const sockaddr*>(&mapped), sizeof(mapped)),
            address);
}

TEST(AddressTest, RefusesWhatIsNoAddressAndSaysWhatIsAllowed) {
  for (std::string_view text : {std::string_view(""),
                                std::string_view("192.0.2.1"),
                                std::string_view("192.0.2.1:"),
                                std::string_view("192.0.2.1:65536"),
                                std::string_view("192.0.2.1:-1"),
                                std::string_view("192.0.2.1:+1"),
                                std::string_view("192.0.2.1:8x"),
                                std::string_view("192.0.2.1: 80"),
                                std::string_view(" 192.0.2.1:80"),
                                std::string_view("192.0.2:80"),
                                std::string_view("192.0.2.256:80"),
                                std::string_view("192.0.02.1:80"),
                                std::string_view("localhost:80"),
                                std::string_view(":80"),
                                std::string_view("*:80"),
                                std::string_view("::1:80"),
                                std::string_view("[::1]"),
                                std::string_view("[::1]80"),
                                std::string_view("[]:80"),
                                std::string_view("[::1:80"),
                                std::string_view("::1]:80"),
                                std::string_view("[192.0.2.1]:80"),
                                std::string_view("[fe80::1%eth0]:80"),
                                std::string_view("192.0.2.1:99999999999999999999"),
                                std::string_view("192.0.2.1\0x:80", 14),
                                std::string_view("[::1\0]:80", 9),
                                std::string_view("192.0.2.1:80\0", 13)}) {
    const absl::StatusOr<Address> address = Address::Parse(text);
    ASSERT_FALSE(address.ok()) << text;
    EXPECT_EQ(address.status().code(), absl::StatusCode::kInvalidArgument);
    EXPECT_NE(address.status().message().find("allowed: IP:PORT"), std::string::npos);
    EXPECT_EQ(address.status().message().find("'" + std::string(text) + "'"), 0u);
  }
}

TEST(AddressTest, TheUnspecifiedOneIsEmpty) {
  const Address address;
  EXPECT_FALSE(address.is_specified());
  EXPECT_EQ(address.port(), 0);
  EXPECT_EQ(address.ToString(), "");
  EXPECT_EQ(address.Host(), "");
  EXPECT_EQ(address, Address());
  EXPECT_FALSE(address == *Address::Parse("0.0.0.0:0"));
}

TEST(AddressTest, ComesFromWhatTheKernelWrites) {
  sockaddr_in v4{};
  v4.sin_family = AF_INET;
  v4.sin_port = htons(8080);
  v4.sin_addr.s_addr = htonl(0xc0000201);
  const auto* source = reinterpret_cast<const sockaddr*>(&v4);
  EXPECT_EQ(Address::FromSockaddr(source, sizeof(v4)).ToString(), "192.0.2.1:8080");
  EXPECT_FALSE(Address::FromSockaddr(source, sizeof(v4) - 1).is_specified());
  EXPECT_FALSE(Address::FromSockaddr(nullptr, 0).is_specified());
  v4.sin_family = AF_UNIX;
  EXPECT_FALSE(Address::FromSockaddr(source, sizeof(v4)).is_specified());
}

TEST(AddressTest, SurvivesTheWayThroughASockaddr) {
  for (std::string_view text : {"192.0.2.1:80", "[2001:db8::1]:81"}) {
    const Address address = *Address::Parse(text);
    EXPECT_EQ(Address::FromSockaddr(address.data(), address.size()), address);
  }
}

TEST(AddressTest, WithPortChangesThePortOnly) {
  const Address address = Address::Parse("[2001:db8::1]:80")->WithPort(443);
  EXPECT_EQ(address.ToString(), "[2001:db8::1]:443");
  EXPECT_EQ(address.Host(), "2001:db8::1");
}

TEST(AddressTest, IsOrderedByFamilyBytesAndPort) {
  std::vector<Address> sorted;
  for (std::string_view text : {"1.2.3.4:5", "1.2.3.4:256", "1.2.4.0:1", "200.0.0.1:1", "[::1]:1",
                                "[::1]:2", "[2001:db8::]:1"}) {
    sorted.push_back(*Address::Parse(text));
  }
  for (size_t i = 0; i < sorted.size(); ++i) {
    for (size_t j = 0; j < sorted.size(); ++j) {
      EXPECT_EQ(sorted[i] < sorted[j], i < j) << sorted[i].ToString() << sorted[j].ToString();
      EXPECT_EQ(sorted[i] == sorted[j], i == j);
    }
  }
}

TEST(AddressTest, EqualOnesHaveEqualHashes) {
  const absl::Hash<Address> hash;
  EXPECT_EQ(hash(*Address::Parse("192.0.2.1:80")), hash(*Address::Parse("[::ffff:192.0.2.1]:80")));
  EXPECT_NE(hash(*Address::Parse("192.0.2.1:80")), hash(*Address::Parse("192.0.2.1:81")));
}

}  // namespace
}  // namespace sidelb
