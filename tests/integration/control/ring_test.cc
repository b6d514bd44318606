// Ring domains in force: a scripted DNS server, and what becomes of the pools that follow it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "fmt/format.h"
#include "server/providers/ring_provider.h"
#include "tests/integration/control/sync_controller.h"
#include "tests/support/dns.h"

namespace sidelb::control {
namespace {

using ::testing::Contains;
using testing::DnsServer;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::kTypeA;
using testing::RefusedAddress;
using testing::TcpServer;
using testing::TcpSocket;
using testing::TestDataPlane;

constexpr char kDomain[] = "web.example";

class RingTest : public ::testing::Test {
 protected:
  RingTest()
      : controller_(Controller::Options{
            .shards = 2,
            .make_provider = providers::MakeRingProvider(
                {.dns = {.servers = {dns_.address()}, .deadline = absl::Milliseconds(500)},
                 .timing = {.hold = absl::Milliseconds(300),
                            .least_between = absl::Milliseconds(50),
                            .first_retry = absl::Milliseconds(20),
                            .longest_retry = absl::Milliseconds(40),
                            .longest_empty_retry = absl::Milliseconds(40),
                            .look_for_probes = absl::Milliseconds(10),
                            .look_for_guard = absl::Milliseconds(20)},
                 .look_for_failures = absl::Milliseconds(20)})}) {}

  static RingDomainSpec Domain(uint16_t port = 80) {
    return {.domain = kDomain,
            .port = port,
            .min_ttl = absl::Milliseconds(20),
            .max_ttl = absl::Milliseconds(40),
            .record = RecordType::kA};
  }
  static Op PoolWith(std::vector<RingDomainSpec> domains) {
    return {.op = PutPool{.spec = {.name = "web",
                                   .health_check = HealthCheckSpec{.kind = HealthCheckKind::kNone},
                                   .ring_domains = std::move(domains)}}};
  }
  void Follow(const RingDomainSpec& domain = Domain()) {
    const auto applied = controller_.Apply({PoolWith({domain})});
    ASSERT_TRUE(applied.ok()) << applied.status();
  }
  // Addresses of the pool, with their owners.
  std::vector<std::string> Claims() {
    std::vector<std::string> claims;
    const auto view = controller_.Read();
    for (const auto& entry : view->backends) {
      for (const Claim& claim : entry.object->claims) {
        claims.push_back(fmt::format("{} {}", entry.object->address.ToString(), claim.owner));
      }
    }
    return claims;
  }
  static std::string Mine(std::string_view at) { return fmt::format("{} ring:{}", at, kDomain); }
  // Whether the claims become those, by ring.
  bool Become(const std::vector<std::string>& addresses) {
    std::vector<std::string> wanted;
    for (const std::string& at : addresses) wanted.push_back(Mine(at));
    return TestDataPlane::WaitUntil([&] { return Claims() == wanted; });
  }
  bool HasCondition(const std::string& code) {
    const Info info = controller_.GetInfo();
    return std::any_of(info.conditions.begin(), info.conditions.end(),
                       [&](const Condition& condition) { return condition.code == code; });
  }
  bool WaitForCondition(const std::string& code, bool is_there = true) {
    return TestDataPlane::WaitUntil([&] { return HasCondition(code) == is_there; });
  }
  // The domain has been asked for again, and what came of it is done: a lookup begins only after
  // the answer before was taken.
  bool AskedAgain() { return dns_.WaitForQuestions(kDomain, kTypeA, 3); }

  DnsServer dns_;
  SyncController controller_;
};

TEST_F(RingTest, TheSetGrowsShrinksFlipsAndComesBack) {
  dns_.SetA(kDomain, {"10.0.0.1"});
  Follow();
  EXPECT_TRUE(Become({"10.0.0.1:80"}));
  dns_.SetA(kDomain, {"10.0.0.1", "10.0.0.2", "10.0.0.3"});
  EXPECT_TRUE(Become({"10.0.0.1:80", "10.0.0.2:80", "10.0.0.3:80"}));
  dns_.SetA(kDomain, {"10.0.0.3"});
  EXPECT_TRUE(Become({"10.0.0.3:80"}));
  dns_.SetA(kDomain, {"10.0.0.8", "10.0.0.9"});
  EXPECT_TRUE(Become({"10.0.0.8:80", "10.0.0.9:80"}));
  dns_.SetA(kDomain, {"10.0.0.1"});
  EXPECT_TRUE(Become({"10.0.0.1:80"}));
  EXPECT_FALSE(HasCondition("DNS_FAILING"));
}

TEST_F(RingTest, AnAnswerThatSaysTheSameChangesNothing) {
  dns_.SetA(kDomain, {"10.0.0.1", "10.0.0.1"});
  Follow();
  EXPECT_TRUE(Become({"10.0.0.1:80"}));
  const uint64_t revision = controller_.GetInfo().revision;
  EXPECT_TRUE(AskedAgain());
  EXPECT_EQ(controller_.GetInfo().revision, revision);
}

TEST_F(RingTest, ServfailRefusedAndSilenceKeepTheSet) {
  dns_.SetA(kDomain, {"10.0.0.1"});
  Follow();
  EXPECT_TRUE(Become({"10.0.0.1:80"}));
  for (const DnsServer::Reply& reply : std::vector<DnsServer::Reply>{
           {.rcode = testing::kServfail}, {.rcode = testing::kRefused}, {.is_silent = true}}) {
    dns_.SetAll(reply);
    EXPECT_TRUE(WaitForCondition("DNS_FAILING"));
    EXPECT_TRUE(AskedAgain());
    EXPECT_THAT(Claims(), ElementsAre(Mine("10.0.0.1:80")));
    dns_.ClearAll();
    EXPECT_TRUE(WaitForCondition("DNS_FAILING", false));
  }
  dns_.SetA(kDomain, {"10.0.0.2"});
  EXPECT_TRUE(Become({"10.0.0.2:80"}));
}

TEST_F(RingTest, NoDomainAndNoRecordsAreHeldWhereNobodyElseServes) {
  dns_.SetA(kDomain, {"10.0.0.1", "10.0.0.2"});
  Follow();
  EXPECT_TRUE(Become({"10.0.0.1:80", "10.0.0.2:80"}));
  for (const int rcode : {testing::kNxdomain, testing::kNoError}) {
    dns_.SetAll({.rcode = rcode});
    EXPECT_TRUE(WaitForCondition("MASS_REMOVAL_HELD"));
    EXPECT_EQ(Claims().size(), 2u);
    dns_.ClearAll();
    EXPECT_TRUE(WaitForCondition("MASS_REMOVAL_HELD", false));
    EXPECT_EQ(Claims().size(), 2u);
  }
}

TEST_F(RingTest, AnOperatorReleasesWhatIsHeld) {
  dns_.SetA(kDomain, {"10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.4"});
  Follow();
  EXPECT_TRUE(Become({"10.0.0.1:80", "10.0.0.2:80", "10.0.0.3:80", "10.0.0.4:80"}));
  dns_.SetAll({.rcode = testing::kNxdomain});
  EXPECT_TRUE(WaitForCondition("MASS_REMOVAL_HELD"));

  ApplyRequest remove = Ops(
      {Remove("web", {At("10.0.0.1:80"), At("10.0.0.2:80"), At("10.0.0.3:80"), At("10.0.0.4:80")},
              /*any_owner=*/true)});
  EXPECT_EQ(Reason(controller_.Apply(remove).status()), "MASS_REMOVAL");
  remove.allow_mass_removal = true;
  ASSERT_TRUE(controller_.Apply(remove).ok());

  EXPECT_TRUE(WaitForCondition("MASS_REMOVAL_HELD", false));
  EXPECT_TRUE(AskedAgain());
  EXPECT_THAT(Claims(), IsEmpty());
}

TEST_F(RingTest, ADomainThatIsGoneGoesWhereOthersServe) {
  dns_.SetA(kDomain, {"10.0.0.1"});
  Follow();
  EXPECT_TRUE(Become({"10.0.0.1:80"}));
  ASSERT_TRUE(controller_.Apply({Upsert("web", {B("10.9.0.1:80")})}).ok());
  dns_.SetAll({.rcode = testing::kNxdomain});
  EXPECT_TRUE(TestDataPlane::WaitUntil([&] { return Claims().size() == 1; }));
  EXPECT_THAT(Claims(), ElementsAre("10.9.0.1:80 api:test"));
  EXPECT_TRUE(HasCondition("DNS_FAILING"));
  EXPECT_FALSE(HasCondition("MASS_REMOVAL_HELD"));
  dns_.ClearAll();
  EXPECT_TRUE(TestDataPlane::WaitUntil([&] { return Claims().size() == 2; }));
}

TEST_F(RingTest, ADomainThatIsNotThereYetIsTriedUntilItIs) {
  Follow();
  EXPECT_TRUE(WaitForCondition("DNS_FAILING"));
  EXPECT_THAT(Claims(), IsEmpty());
  EXPECT_FALSE(HasCondition("MASS_REMOVAL_HELD"));
  dns_.SetA(kDomain, {"10.0.0.1"});
  EXPECT_TRUE(Become({"10.0.0.1:80"}));
  EXPECT_FALSE(HasCondition("DNS_FAILING"));
}

TEST_F(RingTest, ASlowAnswerCountsWhenItComes) {
  dns_.Hold();
  dns_.SetA(kDomain, {"10.0.0.1"});
  Follow();
  EXPECT_TRUE(TestDataPlane::WaitUntil([&] { return dns_.asked(kDomain, kTypeA) > 0; }));
  EXPECT_THAT(Claims(), IsEmpty());  // and control answers meanwhile
  dns_.Release();
  EXPECT_TRUE(Become({"10.0.0.1:80"}));
}

TEST_F(RingTest, FiveHundredRecordsComeOverTcp) {
  std::vector<std::string> ips, addresses;
  for (int i = 0; i < 500; ++i) ips.push_back(fmt::format("10.0.{}.{}", i / 250, i % 250 + 1));
  for (const std::string& ip : ips) addresses.push_back(ip + ":80");
  dns_.SetA(kDomain, ips);
  Follow();
  EXPECT_TRUE(Become(addresses));
  EXPECT_GE(dns_.asked_over_tcp(), 1u);
  dns_.SetA(kDomain, {"10.0.0.1"});
  EXPECT_TRUE(Become({"10.0.0.1:80"}));
}

TEST_F(RingTest, OneAddressOfStaticAndDnsIsOneBackendWithTwoClaims) {
  dns_.SetA(kDomain, {"10.0.0.1"});
  ASSERT_TRUE(
      controller_.Apply(Ops({PoolWith({Domain()}), Upsert("web", {B("10.0.0.1:80", 7)})}, "static"))
          .ok());
  EXPECT_TRUE(TestDataPlane::WaitUntil([&] { return Claims().size() == 2; }));
  EXPECT_THAT(Claims(), ElementsAre("10.0.0.1:80 static", Mine("10.0.0.1:80")));
  EXPECT_EQ(controller_.Read()->backends.size(), 1u);
  EXPECT_EQ(controller_.Read()->backends[0].object->effective.weight, 7u);
}

TEST_F(RingTest, APoolThatDropsTheDomainDropsItsClaims) {
  dns_.SetA(kDomain, {"10.0.0.1"});
  Follow();
  EXPECT_TRUE(Become({"10.0.0.1:80"}));
  dns_.SetAll({.rcode = testing::kServfail});
  EXPECT_TRUE(WaitForCondition("DNS_FAILING"));
  ASSERT_TRUE(controller_.Apply({PoolWith({})}).ok());
  EXPECT_THAT(Claims(), IsEmpty());
  EXPECT_TRUE(WaitForCondition("DNS_FAILING", false));
  dns_.ClearAll();
  Follow();
  EXPECT_TRUE(Become({"10.0.0.1:80"}));
  ASSERT_TRUE(controller_.Apply({{.op = RemovePool{"web", /*force=*/true}}}).ok());
  EXPECT_THAT(Claims(), IsEmpty());
}

TEST_F(RingTest, ADomainWithAnotherPortIsLookedUpAnew) {
  dns_.SetA(kDomain, {"10.0.0.1"});
  Follow();
  EXPECT_TRUE(Become({"10.0.0.1:80"}));
  Follow(Domain(81));
  EXPECT_TRUE(Become({"10.0.0.1:81"}));
}

TEST_F(RingTest, APoolFollowsSeveralDomains) {
  dns_.SetA(kDomain, {"10.0.0.1"});
  dns_.SetA("db.example", {"10.0.0.2"});
  RingDomainSpec other = Domain(5432);
  other.domain = "db.example";
  ASSERT_TRUE(controller_.Apply({PoolWith({Domain(), other})}).ok());
  EXPECT_TRUE(TestDataPlane::WaitUntil([&] { return Claims().size() == 2; }));
  EXPECT_THAT(Claims(), ElementsAre(Mine("10.0.0.1:80"), "10.0.0.2:5432 ring:db.example"));
}

// ---- With traffic ----

class RingTrafficTest : public RingTest {
 protected:
  // SRV records, so that each backend may have a port of its own.
  static RingDomainSpec Services() {
    RingDomainSpec domain = Domain(0);
    domain.record = RecordType::kSrv;
    return domain;
  }
  void SetServices(const std::vector<Address>& addresses) {
    DnsServer::Reply reply;
    for (const Address& address : addresses) {
      reply.records.push_back(testing::RecordSrv(0, 1, address.port(), "host.example"));
    }
    dns_.SetA("host.example", {"127.0.0.1"});
    dns_.Set(kDomain, testing::kTypeSrv, reply);
  }
  Address Serve(const RingDomainSpec& domain, std::optional<HealthCheckSpec> check) {
    const auto applied = controller_.Apply(
        {{.op = PutPool{.spec = {.name = "web", .health_check = check, .ring_domains = {domain}}}},
         Listener("http", "127.0.0.1:0", "web")});
    EXPECT_TRUE(applied.ok()) << applied.status();
    return controller_.ListenAddress("http");
  }
  bool ServesOnly(const Address& address) {
    return TestDataPlane::WaitUntil([&] {
      const auto view = controller_.Read();
      size_t claimed = 0;
      for (const auto& entry : view->backends) claimed += entry.object->claims.empty() ? 0 : 1;
      const auto status = controller_.StatusOf(address);
      // Nobody acknowledged it to us: what can be read may not be in force yet.
      const bool is_in_force = controller_.GetInfo().applied_revision >= view->revision;
      return claimed == 1 && status && status->state == BackendState::kServing && is_in_force;
    });
  }
};

TEST_F(RingTrafficTest, ABackendThatStaysKeepsItsSessions) {
  TcpServer a(testing::Echo), b(testing::Echo);
  SetServices({a.address()});
  const Address address = Serve(Services(), HealthCheckSpec{.kind = HealthCheckKind::kNone});
  EXPECT_TRUE(ServesOnly(a.address()));
  TcpSocket session = OpenEcho(address);

  SetServices({a.address(), b.address()});
  EXPECT_TRUE(TestDataPlane::WaitUntil([&] { return Claims().size() == 2; }));
  SetServices({a.address()});
  EXPECT_TRUE(ServesOnly(a.address()));

  EXPECT_EQ(controller_.StatusOf(a.address())->active_connections, 1u);
  EXPECT_TRUE(session.Send("still"));
  EXPECT_EQ(session.Receive(5), "still");
}

TEST_F(RingTrafficTest, AFlipWaitsForTheProbeOfWhatIsNew) {
  TcpServer a(testing::Greet("A"));
  auto reserved = std::make_unique<RefusedAddress>();
  const Address new_address = reserved->address;
  SetServices({a.address()});
  const Address address = Serve(Services(), HealthCheckSpec{.interval = absl::Milliseconds(50)});
  EXPECT_TRUE(ServesOnly(a.address()));

  // Nobody listens on the new address: the old one stays.
  SetServices({new_address});
  EXPECT_TRUE(WaitForCondition("MASS_REMOVAL_HELD"));
  EXPECT_EQ(TcpSocket::Connect(address).Receive(1), "A");

  reserved.reset();
  TcpServer b(testing::Greet("B"), new_address);
  EXPECT_TRUE(ServesOnly(b.address()));
  EXPECT_EQ(TcpSocket::Connect(address).Receive(1), "B");
  EXPECT_TRUE(WaitForCondition("MASS_REMOVAL_HELD", false));
}

TEST_F(RingTrafficTest, AFailedConnectAsksBeforeTheAnswerIsOld) {
  const RefusedAddress refused;
  TcpServer b(testing::Greet("B"));
  SetServices({refused.address});
  RingDomainSpec domain = Services();
  domain.min_ttl = domain.max_ttl = absl::Hours(1);
  const Address address = Serve(domain, HealthCheckSpec{.kind = HealthCheckKind::kNone});
  EXPECT_TRUE(ServesOnly(refused.address));
  SetServices({b.address()});
  // The client is reset, and DNS is asked.
  EXPECT_EQ(TcpSocket::Connect(address).Receive(1), "");
  EXPECT_TRUE(ServesOnly(b.address()));
  EXPECT_EQ(TcpSocket::Connect(address).Receive(1), "B");
}

TEST_F(RingTest, StoppingEndsALookupUnderWay) {
  dns_.SetAll({.is_silent = true});
  Follow();
  EXPECT_TRUE(WaitForCondition("DNS_FAILING"));
  controller_.controller().Stop();
}

}  // namespace
}  // namespace sidelb::control
