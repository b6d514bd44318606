// Hash keys over real sockets: whether the ports of one client stay together.
#include <gtest/gtest.h>

#include <set>
#include <string>

#include "tests/integration/control/sync_controller.h"
#include "tests/support/tcp.h"
#include "tests/support/udp.h"

namespace sidelb::control {
namespace {

using testing::Greet;
using testing::TcpServer;
using testing::TcpSocket;

constexpr int kPorts = 40;  // all on one of 3 backends by chance: 3^-39

class HashKeyTest : public ::testing::TestWithParam<Mode> {
 protected:
  Op PoolBy(std::optional<HashKey> key) const {
    return {.op =
                PutPool{.spec = {.name = "web",
                                 .mode = GetParam(),
                                 .hash_key = key,
                                 .health_check = HealthCheckSpec{.kind = HealthCheckKind::kNone}}}};
  }
  Address Serve(const std::vector<Address>& addresses, Protocol protocol) {
    std::vector<BackendSpec> backends;
    for (const Address& address : addresses) backends.push_back({.address = address});
    Op listener = Listener("l", "127.0.0.1:0", "web");
    std::get<PutListener>(listener.op).spec.protocol = protocol;
    const auto applied = control_.Apply({PoolBy(std::nullopt), Upsert("web", backends), listener});
    EXPECT_TRUE(applied.ok()) << applied.status();
    return control_.ListenAddress("l");
  }

  SyncController control_;
};

TEST_P(HashKeyTest, TcpPortsOfAClientStayTogetherUnlessThePortCounts) {
  TcpServer a(Greet("A")), b(Greet("B")), c(Greet("C"));
  const Address address = Serve({a.address(), b.address(), c.address()}, Protocol::kTcp);
  const auto seen = [&] {
    std::set<std::string> names;
    for (int i = 0; i < kPorts; ++i) names.insert(TcpSocket::Connect(address).Receive(1));
    return names;
  };

  EXPECT_EQ(seen().size(), 1u);
  ASSERT_TRUE(control_
                  .Apply({{.op = SetMode{.pool = "web",
                                         .mode = GetParam(),
                                         .hash_key = HashKey::kSourceIpPort}}})
                  .ok());
  EXPECT_GT(seen().size(), 1u);
  // Absent keeps the key; named it changes back.
  ASSERT_TRUE(control_.Apply({{.op = SetMode{.pool = "web", .mode = GetParam()}}}).ok());
  EXPECT_GT(seen().size(), 1u);
  ASSERT_TRUE(control_.Apply({PoolBy(HashKey::kSourceIp)}).ok());
  EXPECT_EQ(seen().size(), 1u);
}

TEST_P(HashKeyTest, UdpPortsOfAClientStayTogetherUnlessThePortCounts) {
  const auto answer = [](std::string name) {
    return [name](std::string_view) -> std::optional<std::string> { return name; };
  };
  testing::UdpServer a(answer("A")), b(answer("B")), c(answer("C"));
  const Address address = Serve({a.address(), b.address(), c.address()}, Protocol::kUdp);
  const auto seen = [&] {
    std::set<std::string> names;
    for (int i = 0; i < kPorts; ++i) {
      testing::UdpSocket client(*Address::Parse("127.0.0.1:0"), address);
      client.Send("x");
      names.insert(client.Receive().value_or("none"));
    }
    return names;
  };

  const auto together = seen();
  EXPECT_EQ(together.size(), 1u);
  EXPECT_FALSE(together.contains("none"));
  ASSERT_TRUE(control_.Apply({PoolBy(HashKey::kSourceIpPort)}).ok());
  const auto spread = seen();
  EXPECT_GT(spread.size(), 1u);
  EXPECT_FALSE(spread.contains("none"));
}

TEST_P(HashKeyTest, AnotherTableSizeServesAndReadsBack) {
  TcpServer a(Greet("A")), b(Greet("B"));
  const Address address = Serve({a.address(), b.address()}, Protocol::kTcp);
  for (uint32_t size : {251u, 131'101u}) {
    ASSERT_TRUE(
        control_
            .Apply({{.op = SetMode{.pool = "web", .mode = GetParam(), .hash_table_size = size}}})
            .ok());
    EXPECT_EQ(control_.Read()->pools.at(0).object->spec.hash_table_size, size);
    EXPECT_NE(TcpSocket::Connect(address).Receive(1), "");
  }
}

INSTANTIATE_TEST_SUITE_P(Modes, HashKeyTest, ::testing::Values(Mode::kSourceHash, Mode::kMaglev),
                         [](const auto& test) {
                           return test.param == Mode::kMaglev ? "maglev" : "source_hash";
                         });

}  // namespace
}  // namespace sidelb::control
