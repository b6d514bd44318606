// Lookups against a scripted DNS server: each outcome, and how it is told.
#include "server/providers/dns_resolver.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/asio/io_context.hpp>
#include <chrono>
#include <optional>
#include <set>

#include "fmt/format.h"
#include "tests/support/dns.h"
#include "tests/support/tcp.h"

namespace sidelb::providers {
namespace {

using control::RecordType;
using testing::DnsServer;
using ::testing::HasSubstr;
using testing::RecordA;
using testing::RecordAaaa;
using testing::RecordCname;
using testing::RecordSrv;
using ::testing::UnorderedElementsAre;

class DnsResolverTest : public ::testing::Test {
 protected:
  DnsResult Resolve(const std::string& domain, RecordType record = RecordType::kAAndAaaa) {
    return ResolveWith({.servers = {server_.address()}}, domain, record);
  }
  static DnsResult ResolveWith(const DnsSettings& settings, const std::string& domain,
                               RecordType record) {
    boost::asio::io_context io(1);
    DnsResolver resolver(io.get_executor(), settings);
    std::optional<DnsResult> result;
    resolver.Resolve(domain, record, [&](DnsResult got) { result = std::move(got); });
    EXPECT_FALSE(result.has_value());  // never before it returns
    io.run();                          // until nothing waits any more
    EXPECT_TRUE(result.has_value());
    return result.value_or(DnsResult{});
  }
  static std::set<std::string> Texts(const DnsResult& result) {
    std::set<std::string> texts;
    for (const DnsTarget& target : result.targets) texts.insert(target.address.ToString());
    return texts;
  }

  DnsServer server_;
};

TEST_F(DnsResolverTest, FindsTheAddressesOfBothFamiliesWithTheirTtls) {
  server_.Set("web.example", testing::kTypeA,
              {.records = {RecordA("10.0.0.1", 30), RecordA("10.0.0.2", 20)}});
  server_.Set("web.example", testing::kTypeAaaa, {.records = {RecordAaaa("2001:db8::1", 10)}});

  const DnsResult result = Resolve("web.example");

  EXPECT_EQ(result.outcome, DnsOutcome::kAnswer);
  EXPECT_EQ(result.error, "");
  EXPECT_THAT(Texts(result), UnorderedElementsAre("10.0.0.1:0", "10.0.0.2:0", "[2001:db8::1]:0"));
  std::set<absl::Duration> ttls;
  for (const DnsTarget& target : result.targets) ttls.insert(target.ttl);
  EXPECT_THAT(ttls, UnorderedElementsAre(absl::Seconds(10), absl::Seconds(20), absl::Seconds(30)));
}

TEST_F(DnsResolverTest, AsksOnlyForTheFamilyThatIsWanted) {
  server_.SetA("web.example", {"10.0.0.1"});
  EXPECT_EQ(Resolve("web.example", RecordType::kA).targets.size(), 1u);
  EXPECT_EQ(server_.asked("web.example", testing::kTypeAaaa), 0u);
  EXPECT_EQ(Resolve("web.example", RecordType::kAaaa).outcome, DnsOutcome::kEmpty);
}

TEST_F(DnsResolverTest, AnAliasBoundsTheTtl) {
  server_.Set("web.example", testing::kTypeA,
              {.records = {RecordCname("other.example", 5), RecordA("10.0.0.1", 60)}});
  const DnsResult result = Resolve("web.example", RecordType::kA);
  ASSERT_EQ(result.targets.size(), 1u);
  EXPECT_EQ(result.targets[0].ttl, absl::Seconds(5));
}

TEST_F(DnsResolverTest, ANameThatIsNotThereIsNoDomain) {
  EXPECT_EQ(Resolve("gone.example").outcome, DnsOutcome::kNoDomain);
}

TEST_F(DnsResolverTest, ANameWithoutSuchRecordsIsEmpty) {
  server_.Set("web.example", testing::kTypeSrv, {});
  EXPECT_EQ(Resolve("web.example").outcome, DnsOutcome::kEmpty);
}

TEST_F(DnsResolverTest, ServersThatRefuseOrFailAreNamed) {
  for (const auto& [rcode, name] : std::vector<std::pair<int, std::string>>{
           {testing::kServfail, "SERVFAIL"}, {testing::kRefused, "REFUSED"}}) {
    server_.SetAll({.rcode = rcode});
    const DnsResult result = Resolve("web.example");
    EXPECT_EQ(result.outcome, DnsOutcome::kFailure);
    EXPECT_THAT(result.error, HasSubstr(name));
  }
}

TEST_F(DnsResolverTest, AServerThatIsSilentIsNoticedByTheDeadline) {
  server_.SetAll({.is_silent = true});
  const auto start = std::chrono::steady_clock::now();

  const DnsResult result =
      ResolveWith({.servers = {server_.address()}, .deadline = absl::Milliseconds(300)},
                  "web.example", RecordType::kAAndAaaa);

  EXPECT_EQ(result.outcome, DnsOutcome::kFailure);
  EXPECT_THAT(result.error, HasSubstr("no answer in time"));
  EXPECT_GE(server_.asked("web.example", testing::kTypeA), 2u);  // it was tried again
  EXPECT_GE(std::chrono::steady_clock::now() - start, std::chrono::milliseconds(250));
}

TEST_F(DnsResolverTest, OfTwoServersTheOneThatAnswersIsEnough) {
  DnsServer silent;
  silent.SetAll({.is_silent = true});
  server_.SetA("web.example", {"10.0.0.1"});
  const DnsResult result =
      ResolveWith({.servers = {silent.address(), server_.address()}, .deadline = absl::Seconds(2)},
                  "web.example", RecordType::kA);
  EXPECT_EQ(result.outcome, DnsOutcome::kAnswer);
  EXPECT_EQ(silent.asked("web.example", testing::kTypeA), 1u);
}

TEST_F(DnsResolverTest, AfterAFailureTheNextServerIsAskedFirst) {
  DnsServer failing;
  failing.SetAll({.rcode = testing::kServfail});
  server_.SetA("web.example", {"10.0.0.1"});
  boost::asio::io_context io(1);
  DnsResolver resolver(io.get_executor(), {.servers = {failing.address(), server_.address()}});
  std::vector<DnsOutcome> outcomes;
  for (int i = 0; i < 3; ++i) {
    resolver.Resolve("web.example", RecordType::kA,
                     [&](const DnsResult& result) { outcomes.push_back(result.outcome); });
    io.restart();
    io.run();
  }
  EXPECT_THAT(outcomes, ::testing::ElementsAre(DnsOutcome::kFailure, DnsOutcome::kAnswer,
                                               DnsOutcome::kAnswer));
  EXPECT_EQ(failing.asked("web.example", testing::kTypeA), 1u);
}

TEST_F(DnsResolverTest, TheDefaultDeadlineIsBelowFiveSeconds) {
  EXPECT_LT(DnsSettings{}.deadline, absl::Seconds(5));
}

TEST_F(DnsResolverTest, AServerThatIsNotThereIsAFailure) {
  const testing::RefusedAddress refused;
  const DnsResult result =
      ResolveWith({.servers = {refused.address}}, "web.example", RecordType::kA);
  EXPECT_EQ(result.outcome, DnsOutcome::kFailure);
  EXPECT_THAT(result.error, HasSubstr("cannot be reached"));
}

TEST_F(DnsResolverTest, OfTwoFamiliesTheOneThatFailedIsNotKnown) {
  server_.SetA("web.example", {"10.0.0.1"});
  server_.Set("web.example", testing::kTypeAaaa, {.rcode = testing::kServfail});
  const DnsResult result = Resolve("web.example");
  EXPECT_EQ(result.outcome, DnsOutcome::kAnswer);
  EXPECT_TRUE(result.has_all_v4);
  EXPECT_FALSE(result.has_all_v6);
  EXPECT_THAT(result.error, HasSubstr("AAAA web.example: SERVFAIL"));
}

TEST_F(DnsResolverTest, WhatIsTruncatedComesOverTcp) {
  std::vector<std::string> ips;
  for (int i = 0; i < 500; ++i) ips.push_back(fmt::format("10.0.{}.{}", i / 250, i % 250));
  server_.SetA("web.example", ips);
  const DnsResult result = Resolve("web.example", RecordType::kA);
  EXPECT_EQ(Texts(result).size(), 500u);
  EXPECT_EQ(server_.asked_over_tcp(), 1u);
}

TEST_F(DnsResolverTest, SrvRecordsComeWithTheAddressesOfTheirTargets) {
  server_.Set(
      "_web._tcp.example", testing::kTypeSrv,
      {.records = {RecordSrv(10, 5, 8080, "a.example", 30), RecordSrv(20, 0, 8081, "b.example", 30),
                   RecordSrv(20, 1, 8082, "gone.example", 30)}});
  server_.SetA("a.example", {"10.0.0.1", "10.0.0.2"}, 7);
  server_.Set("b.example", testing::kTypeAaaa, {.records = {RecordAaaa("2001:db8::2", 60)}});

  const DnsResult result = Resolve("_web._tcp.example", RecordType::kSrv);

  EXPECT_EQ(result.outcome, DnsOutcome::kAnswer);
  const auto target = [](std::string_view at, int ttl, uint16_t priority, uint16_t weight) {
    return DnsTarget{.address = *Address::Parse(at),
                     .ttl = absl::Seconds(ttl),
                     .priority = priority,
                     .weight = weight};
  };
  EXPECT_THAT(result.targets, UnorderedElementsAre(target("10.0.0.1:8080", 7, 10, 5),
                                                   target("10.0.0.2:8080", 7, 10, 5),
                                                   target("[2001:db8::2]:8081", 30, 20, 0)));
}

TEST_F(DnsResolverTest, ASrvServiceThatIsDecidedlyNotThereIsEmpty) {
  server_.Set("_web._tcp.example", testing::kTypeSrv, {.records = {RecordSrv(0, 0, 0, "")}});
  EXPECT_EQ(Resolve("_web._tcp.example", RecordType::kSrv).outcome, DnsOutcome::kEmpty);
}

TEST_F(DnsResolverTest, ManySrvTargetsAreAllResolved) {
  std::vector<testing::DnsData> records;
  for (int i = 0; i < 200; ++i) {
    records.push_back(RecordSrv(0, 1, 80, fmt::format("t{}.example", i)));
    server_.SetA(fmt::format("t{}.example", i), {fmt::format("10.1.0.{}", i + 1)});
  }
  server_.Set("_web._tcp.example", testing::kTypeSrv, {.records = records});
  EXPECT_EQ(Texts(Resolve("_web._tcp.example", RecordType::kSrv)).size(), 200u);
}

TEST_F(DnsResolverTest, TheHostsFileSaysAllThereIsOfItsNames) {
  const DnsResult result = Resolve("localhost", RecordType::kA);
  EXPECT_EQ(result.outcome, DnsOutcome::kAnswer);
  EXPECT_THAT(Texts(result), ::testing::Contains("127.0.0.1:0"));
  EXPECT_EQ(server_.asked("localhost", testing::kTypeA), 0u);
}

TEST_F(DnsResolverTest, ALastDotMakesANameAbsolute) {
  server_.SetA("web", {"10.0.0.1"});
  EXPECT_EQ(Resolve("web.", RecordType::kA).outcome, DnsOutcome::kAnswer);
  EXPECT_EQ(Resolve("localhost.", RecordType::kA).outcome, DnsOutcome::kAnswer);
}

TEST_F(DnsResolverTest, StoppingEndsALookupWithoutACallback) {
  server_.SetAll({.is_silent = true});
  boost::asio::io_context io(1);
  DnsResolver resolver(io.get_executor(), {.servers = {server_.address()}});
  resolver.Resolve("web.example", RecordType::kA, [](const DnsResult&) { FAIL(); });
  io.poll();  // the question is sent
  resolver.Stop();
  io.restart();
  io.run();
}

}  // namespace
}  // namespace sidelb::providers
