// The control service over its socket, as a client sees it.
#include <gmock/gmock.h>

#include <future>
#include <set>
#include <thread>

#include "fmt/format.h"
#include "tests/integration/rpc/control_daemon.h"
#include "tests/support/tcp.h"

namespace sidelb::rpc {
namespace {

using grpc::StatusCode;
using std::chrono::milliseconds;
using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::Key;
using ::testing::Not;

pb::ApplyRequest PutPool(const std::string& name) {
  pb::ApplyRequest request;
  request.add_ops()->mutable_put_pool()->set_name(name);
  return request;
}

void AddListener(pb::ApplyRequest* request, const std::string& name, const std::string& pool,
                 const std::string& address = "127.0.0.1:0") {
  auto* listener = request->add_ops()->mutable_put_listener();
  listener->set_name(name);
  listener->set_pool(pool);
  listener->set_address(address);
}

void AddBackendOp(pb::ApplyRequest* request, const std::string& pool, const std::string& address) {
  auto* set = request->add_ops()->mutable_upsert_backends();
  set->set_pool(pool);
  set->add_backends()->set_address(address);
}

class ServiceTest : public ::testing::Test {
 protected:
  // A listener in front of an echo server, and one session through it.
  struct Session {
    std::unique_ptr<sidelb::testing::TcpServer> server;
    sidelb::testing::TcpSocket client;
  };
  Session OpenSession() {
    Session session;
    session.server = std::make_unique<sidelb::testing::TcpServer>(sidelb::testing::Echo);
    pb::ApplyRequest request = PutPool("web");
    AddBackendOp(&request, "web", session.server->address().ToString());
    AddListener(&request, "http", "web");
    EXPECT_TRUE(client_.Apply(request).ok());
    const std::string at = client_.State().state().listeners(0).status().bound_address();
    session.client = sidelb::testing::TcpSocket::Connect(*Address::Parse(at));
    session.client.Send("x");
    EXPECT_EQ(session.client.Receive(1), "x");
    return session;
  }
  // Drains the session's backend without a deadline and waits for it, much longer than the test.
  static pb::ApplyRequest DrainAndWait(const Session& session) {
    pb::ApplyRequest request;
    auto* set = request.add_ops()->mutable_set_override();
    set->set_pool("web");
    set->mutable_selector()->add_addresses(session.server->address().ToString());
    set->mutable_override()->set_admin_state(pb::ADMIN_STATE_DRAINING);
    request.set_wait(pb::WAIT_FOR_DRAINED);
    request.mutable_wait_timeout()->set_seconds(3'600);
    return request;
  }
  // Waits until the drain is visible, so that whoever asked for it is waiting.
  void WaitUntilDraining() {
    pb::GetStateRequest request;
    request.mutable_filter()->add_states(pb::BACKEND_STATE_DRAINING);
    request.mutable_filter()->add_kinds(pb::OBJECT_KIND_BACKEND);
    pb::GetStateResponse response;
    while (response.state().backends_size() == 0) {
      ASSERT_TRUE(client_.GetState(request, &response).ok());
    }
  }

  TempFolder folder_;
  ControlDaemon daemon_{UnixEndpoint(folder_ / "control.sock")};
  TestClient client_{daemon_.rpc().endpoint()};
};

TEST_F(ServiceTest, WhatIsAppliedIsRead) {
  pb::ApplyRequest request = PutPool("web");
  AddBackendOp(&request, "web", "127.0.0.1:9001");
  AddListener(&request, "http", "web");
  pb::ApplyResponse applied;
  const grpc::Status status = client_.Apply(request, &applied);
  ASSERT_TRUE(status.ok()) << status.error_message();
  EXPECT_EQ(applied.reached(), pb::WAIT_FOR_APPLIED);
  ASSERT_EQ(applied.results_size(), 3);
  EXPECT_EQ(applied.results(1).added(), 1u);

  const pb::GetStateResponse read = client_.State();
  EXPECT_EQ(read.revision(), applied.revision());
  EXPECT_EQ(read.epoch(), "epoch-1");
  EXPECT_EQ(read.total_size(), 3u);
  ASSERT_EQ(read.state().listeners_size(), 1);
  EXPECT_TRUE(read.state().listeners(0).status().bound());
  EXPECT_THAT(read.state().listeners(0).status().bound_address(), HasSubstr("127.0.0.1:"));
  ASSERT_EQ(read.state().pools_size(), 1);
  EXPECT_EQ(read.state().pools(0).name(), "web");
  ASSERT_EQ(read.state().backends_size(), 1);
  EXPECT_EQ(read.state().backends(0).address(), "127.0.0.1:9001");
  EXPECT_EQ(read.state().backends(0).claims(0).owner(), "api:default");
}

TEST_F(ServiceTest, WhatWasExportedIsAppliedWithoutAChange) {
  pb::ApplyRequest request = PutPool("web");
  request.mutable_ops(0)->mutable_put_pool()->mutable_drain()->mutable_timeout()->set_seconds(7);
  AddBackendOp(&request, "web", "127.0.0.1:9001");
  AddListener(&request, "http", "web");
  ASSERT_TRUE(client_.Apply(request).ok());
  pb::GetStateRequest read;
  read.set_view(pb::VIEW_CONFIG);
  pb::GetStateResponse exported;
  ASSERT_TRUE(client_.GetState(read, &exported).ok());
  EXPECT_FALSE(exported.state().listeners(0).has_status());

  pb::ApplyRequest again;
  *again.add_ops()->mutable_put_pool() = exported.state().pools(0);
  *again.add_ops()->mutable_put_listener() = exported.state().listeners(0);
  auto* set = again.add_ops()->mutable_upsert_backends();
  set->set_pool("web");
  *set->add_backends() = exported.state().backends(0).claims(0).spec();
  pb::ApplyResponse applied;
  const grpc::Status status = client_.Apply(again, &applied);
  ASSERT_TRUE(status.ok()) << status.error_message();
  EXPECT_EQ(applied.revision(), exported.revision());
}

TEST_F(ServiceTest, InfoTellsWhatTheDaemonIsAndCan) {
  pb::GetInfoResponse info;
  ASSERT_TRUE(client_.GetInfo(&info).ok());
  EXPECT_EQ(info.version(), "1.2.3");
  EXPECT_EQ(info.shards(), 1u);
  EXPECT_FALSE(info.epoch().empty());
  EXPECT_FALSE(info.instance_id().empty());
  EXPECT_EQ(info.state(), pb::SERVER_STATE_SERVING);
  EXPECT_EQ(info.limits().max_backends(), control::kMaxBackends);
  EXPECT_EQ(info.limits().max_ops(), control::kMaxOps);
  EXPECT_EQ(info.limits().max_message_bytes(), 4u << 20);
  EXPECT_GT(info.limits().max_connections(), 0u);
  EXPECT_EQ(info.store().kind(), "memory");
  EXPECT_THAT(info.capabilities(), Contains("rpc:Apply"));
}

// The list and the behaviour cannot drift apart.
TEST_F(ServiceTest, ExactlyTheModesAndProtocolsOfTheCapabilitiesWork) {
  pb::GetInfoResponse info;
  ASSERT_TRUE(client_.GetInfo(&info).ok());
  const std::set<std::string> capabilities(info.capabilities().begin(), info.capabilities().end());
  const std::map<pb::Mode, std::string> modes = {{pb::MODE_ROUND_ROBIN, "round-robin"},
                                                 {pb::MODE_LEAST_CONNECTIONS, "least-connections"},
                                                 {pb::MODE_P2C, "p2c"},
                                                 {pb::MODE_RANDOM, "random"},
                                                 {pb::MODE_SOURCE_HASH, "source-hash"},
                                                 {pb::MODE_MAGLEV, "maglev"}};
  ASSERT_TRUE(client_.Apply(PutPool("web")).ok());
  for (const auto& [mode, name] : modes) {
    pb::ApplyRequest request;
    request.add_ops()->mutable_set_mode()->set_pool("web");
    request.mutable_ops(0)->mutable_set_mode()->set_mode(mode);
    const grpc::Status status = client_.Apply(request);
    if (capabilities.contains("mode:" + name)) {
      EXPECT_TRUE(status.ok()) << name << ": " << status.error_message();
    } else {
      EXPECT_EQ(status.error_code(), StatusCode::UNIMPLEMENTED) << name;
      EXPECT_EQ(DetailsOf(status).reason, "CAPABILITY");
      EXPECT_THAT(DetailsOf(status).violations, Contains(Key("ops[0].set_mode.mode")));
    }
  }
  const std::map<pb::Protocol, std::string> protocols = {{pb::PROTOCOL_TCP, "tcp"},
                                                         {pb::PROTOCOL_UDP, "udp"}};
  for (const auto& [protocol, name] : protocols) {
    pb::ApplyRequest request;
    AddListener(&request, name, "web");
    request.mutable_ops(0)->mutable_put_listener()->set_protocol(protocol);
    const grpc::Status status = client_.Apply(request);
    EXPECT_EQ(status.ok(), capabilities.contains("protocol:" + name)) << status.error_message();
  }
}

TEST_F(ServiceTest, RefusalsCarryReasonFieldAndMetadataAndChangeNothing) {
  pb::ApplyResponse before;
  ASSERT_TRUE(client_.Apply(PutPool("web"), &before).ok());

  pb::ApplyRequest bad_field = PutPool("other");
  AddBackendOp(&bad_field, "other", "nowhere");
  grpc::Status status = client_.Apply(bad_field);
  EXPECT_EQ(status.error_code(), StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(DetailsOf(status).reason, "BAD_FIELD");
  EXPECT_EQ(DetailsOf(status).domain, "sidelb");
  EXPECT_THAT(DetailsOf(status).violations,
              Contains(Key("ops[1].upsert_backends.backends[0].address")));

  pb::ApplyRequest no_pool = PutPool("other");
  AddBackendOp(&no_pool, "nopool", "127.0.0.1:1");
  status = client_.Apply(no_pool);
  EXPECT_EQ(status.error_code(), StatusCode::NOT_FOUND);
  EXPECT_EQ(DetailsOf(status).reason, "POOL_NOT_FOUND");

  pb::ApplyRequest stale = PutPool("other");
  stale.set_expected_revision(before.revision() - 1);
  status = client_.Apply(stale);
  EXPECT_EQ(status.error_code(), StatusCode::ABORTED);
  EXPECT_EQ(DetailsOf(status).reason, "REVISION_MISMATCH");
  EXPECT_EQ(DetailsOf(status).metadata["current"], std::to_string(before.revision()));

  pb::ApplyRequest foreign = PutPool("other");
  foreign.set_owner("static");
  status = client_.Apply(foreign);
  EXPECT_EQ(status.error_code(), StatusCode::FAILED_PRECONDITION);
  EXPECT_EQ(DetailsOf(status).reason, "OWNER_READ_ONLY");

  const sidelb::testing::RefusedAddress taken;
  pb::ApplyRequest bind = PutPool("other");
  AddListener(&bind, "http", "web", taken.address.ToString());
  status = client_.Apply(bind);
  EXPECT_EQ(status.error_code(), StatusCode::FAILED_PRECONDITION);
  EXPECT_EQ(DetailsOf(status).reason, "BIND_FAILED");
  EXPECT_THAT(status.error_message(), HasSubstr("Address already in use"));

  EXPECT_EQ(client_.State().revision(), before.revision());
  EXPECT_EQ(client_.State().total_size(), 1u);
}

TEST_F(ServiceTest, WhatIsNotBuiltIsRefusedWithItsPath) {
  pb::ApplyRequest request = PutPool("web");
  request.mutable_ops(0)->mutable_put_pool()->set_local_zone("a");
  const grpc::Status status = client_.Apply(request);
  EXPECT_EQ(status.error_code(), StatusCode::UNIMPLEMENTED);
  EXPECT_EQ(DetailsOf(status).reason, "CAPABILITY");
  EXPECT_THAT(DetailsOf(status).violations, Contains(Key("ops[0].put_pool.local_zone")));
  EXPECT_EQ(client_.State().total_size(), 0u);
}

TEST_F(ServiceTest, UnknownFieldsOfAWriteAreRefused) {
  pb::ApplyRequest request = PutPool("web");
  auto* pool = request.mutable_ops(0)->mutable_put_pool();
  pool->GetReflection()->MutableUnknownFields(pool)->AddVarint(500, 1);
  const grpc::Status status = client_.Apply(request);
  EXPECT_EQ(status.error_code(), StatusCode::INVALID_ARGUMENT);
  EXPECT_THAT(DetailsOf(status).violations, Contains(Key("ops[0].put_pool")));
}

// Details that outgrow the trailers would reach the client as another error.
TEST_F(ServiceTest, ErrorsWithEndlessDetailsStillArrive) {
  pb::ApplyRequest request;
  for (int i = 0; i < 1'000; ++i) request.add_ops()->mutable_put_pool()->set_local_zone("a");
  EXPECT_EQ(client_.Apply(request).error_code(), StatusCode::UNIMPLEMENTED);

  pb::ApplyRequest long_name;
  AddBackendOp(&long_name, std::string(100'000, 'p'), std::string(100'000, '\x01'));
  EXPECT_EQ(client_.Apply(long_name).error_code(), StatusCode::INVALID_ARGUMENT);
}

TEST_F(ServiceTest, LeasesAreCreatedFencedAndReleased) {
  const auto renew = [&](const pb::RenewLeaseRequest& request, pb::RenewLeaseResponse* response) {
    grpc::ClientContext context;
    return client_.stub().RenewLease(&context, request, response);
  };
  pb::RenewLeaseRequest request;
  request.set_owner("api:test");
  request.set_holder("h1");
  pb::RenewLeaseResponse lease;
  request.mutable_ttl()->set_seconds(4);
  EXPECT_EQ(DetailsOf(renew(request, &lease)).reason, "TTL_RANGE");
  request.mutable_ttl()->set_seconds(30);
  ASSERT_TRUE(renew(request, &lease).ok());
  EXPECT_EQ(lease.epoch(), "epoch-1");
  EXPECT_GE(lease.renew_after().seconds(), 9 - 1);
  EXPECT_EQ(lease.lease().on_expiry(), pb::EXPIRY_ACTION_DRAIN);
  EXPECT_EQ(lease.lease().grace().seconds(), 30);

  pb::ApplyRequest write = PutPool("web");
  write.set_owner("api:test");
  write.set_holder("h2");
  const grpc::Status fenced = client_.Apply(write);
  EXPECT_EQ(fenced.error_code(), StatusCode::ABORTED);
  EXPECT_EQ(DetailsOf(fenced).reason, "SESSION_SUPERSEDED");
  write.set_holder("h1");
  EXPECT_TRUE(client_.Apply(write).ok());
  pb::GetInfoResponse info;
  ASSERT_TRUE(client_.GetInfo(&info).ok());
  ASSERT_EQ(info.leases_size(), 1);
  EXPECT_EQ(info.leases(0).holder(), "h1");

  request.set_release(true);
  ASSERT_TRUE(renew(request, &lease).ok());
  ASSERT_TRUE(client_.GetInfo(&info).ok());
  EXPECT_EQ(info.leases_size(), 0);
}

TEST_F(ServiceTest, ImpactsAreToldAndTheGuardRefuses) {
  pb::ApplyRequest request = PutPool("web");
  auto* set = request.add_ops()->mutable_upsert_backends();
  set->set_pool("web");
  for (int i = 1; i <= 6; ++i) {
    set->add_backends()->set_address("127.0.0.1:" + std::to_string(i));
  }
  ASSERT_TRUE(client_.Apply(request).ok());
  pb::ApplyRequest removal;
  removal.add_ops()->mutable_replace_backends()->set_pool("web");
  const grpc::Status refused = client_.Apply(removal);
  EXPECT_EQ(refused.error_code(), StatusCode::FAILED_PRECONDITION);
  EXPECT_EQ(DetailsOf(refused).reason, "MASS_REMOVAL");
  removal.set_allow_mass_removal(true);
  removal.set_validate_only(true);
  pb::ApplyResponse response;
  ASSERT_TRUE(client_.Apply(removal, &response).ok());
  ASSERT_EQ(response.impacts_size(), 1);
  EXPECT_EQ(response.impacts(0).eligible_before(), 6u);
  EXPECT_EQ(response.impacts(0).eligible_after(), 0u);
}

TEST_F(ServiceTest, ARepetitionGetsTheFirstAnswerWhateverItsWait) {
  pb::ApplyRequest request = PutPool("web");
  request.set_request_id("once");
  pb::ApplyResponse first, again;
  ASSERT_TRUE(client_.Apply(request, &first).ok());
  ASSERT_TRUE(client_.Apply(PutPool("other")).ok());
  request.set_wait(pb::WAIT_FOR_COMMITTED);
  ASSERT_TRUE(client_.Apply(request, &again).ok());
  EXPECT_FALSE(first.replayed());
  EXPECT_TRUE(again.replayed());
  EXPECT_EQ(again.revision(), first.revision());
  EXPECT_EQ(again.results(0).added(), 1u);

  request.set_comment("another request");
  EXPECT_EQ(DetailsOf(client_.Apply(request)).reason, "REQUEST_ID_REUSED");
  request.set_request_id(std::string(65, 'x'));
  EXPECT_THAT(DetailsOf(client_.Apply(request)).violations, Contains(Key("request_id")));
}

TEST_F(ServiceTest, TheAuditHasPagesOfWhatWasWrittenAndRefused) {
  ASSERT_TRUE(client_.Apply(PutPool("web")).ok());
  pb::ApplyRequest wrong = PutPool("other");
  wrong.mutable_ops(0)->mutable_put_pool()->set_local_zone("a");  // refused for its shape
  EXPECT_FALSE(client_.Apply(wrong).ok());
  pb::ApplyRequest check = PutPool("third");
  check.set_validate_only(true);
  ASSERT_TRUE(client_.Apply(check).ok());

  pb::ListAuditRequest request;
  request.set_page_size(1);
  std::vector<std::string> reasons;
  do {
    grpc::ClientContext context;
    pb::ListAuditResponse page;
    ASSERT_TRUE(client_.stub().ListAudit(&context, request, &page).ok());
    ASSERT_EQ(page.entries_size(), 1);
    reasons.push_back(page.entries(0).error_reason());
    request.set_page_token(page.next_page_token());
  } while (!request.page_token().empty());
  EXPECT_THAT(reasons, ::testing::ElementsAre("CAPABILITY", ""));

  grpc::ClientContext context;
  request.set_page_token("7x");
  pb::ListAuditResponse page;
  EXPECT_EQ(DetailsOf(client_.stub().ListAudit(&context, request, &page)).reason, "BAD_TOKEN");
}

TEST_F(ServiceTest, PagesShowOneRevisionWhateverHappensMeanwhile) {
  constexpr int kBackends = 1'200;
  pb::ApplyRequest request = PutPool("web");
  auto* set = request.add_ops()->mutable_upsert_backends();
  set->set_pool("web");
  for (int i = 0; i < kBackends; ++i) {
    set->add_backends()->set_address(fmt::format("10.0.{}.{}:80", i / 250, i % 250 + 1));
  }
  pb::ApplyResponse applied;
  ASSERT_TRUE(client_.Apply(request, &applied).ok());

  pb::GetStateRequest read;
  read.mutable_filter()->add_kinds(pb::OBJECT_KIND_BACKEND);
  std::set<std::string> seen;
  int pages = 0;
  do {
    pb::GetStateResponse page;
    const grpc::Status status = client_.GetState(read, &page);
    ASSERT_TRUE(status.ok()) << status.error_message();
    ++pages;
    EXPECT_EQ(page.revision(), applied.revision());
    EXPECT_EQ(page.total_size(), static_cast<uint32_t>(kBackends));
    EXPECT_EQ(page.epoch(), "epoch-1");
    for (const auto& backend : page.state().backends()) seen.insert(backend.address());
    read.set_page_token(page.next_page_token());
    pb::ApplyRequest removal;
    removal.add_ops()->mutable_replace_backends()->set_pool("web");
    removal.set_allow_mass_removal(true);
    ASSERT_TRUE(client_.Apply(removal).ok());
  } while (!read.page_token().empty());
  EXPECT_EQ(pages, 3);
  EXPECT_EQ(seen.size(), static_cast<size_t>(kBackends));
}

TEST_F(ServiceTest, WrongTokensAreRefused) {
  pb::GetStateRequest read;
  pb::GetStateResponse page;
  read.set_page_token("nonsense");
  grpc::Status status = client_.GetState(read, &page);
  EXPECT_EQ(status.error_code(), StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(DetailsOf(status).reason, "BAD_TOKEN");
  read.set_page_token("123-1");
  status = client_.GetState(read, &page);
  EXPECT_EQ(status.error_code(), StatusCode::OUT_OF_RANGE);
  EXPECT_EQ(DetailsOf(status).reason, "PAGE_EXPIRED");
}

TEST_F(ServiceTest, AReadOfAFutureRevisionEndsBeforeItsDeadline) {
  pb::GetStateRequest read;
  read.set_min_revision(client_.State().revision() + 1'000'000'000);
  pb::GetStateResponse page;
  const grpc::Status status = client_.GetState(read, &page, milliseconds(300));
  EXPECT_EQ(status.error_code(), StatusCode::OUT_OF_RANGE) << status.error_message();
  EXPECT_EQ(DetailsOf(status).reason, "FUTURE_REVISION");
}

TEST_F(ServiceTest, AReadWaitsForItsRevision) {
  pb::ApplyResponse first;
  ASSERT_TRUE(client_.Apply(PutPool("one"), &first).ok());
  pb::GetStateRequest read;
  read.set_min_revision(first.revision() + 1);
  auto waiting = std::async(std::launch::async, [&] {
    pb::GetStateResponse page;
    TestClient other(daemon_.rpc().endpoint());
    EXPECT_TRUE(other.GetState(read, &page).ok());
    return page;
  });
  ASSERT_TRUE(client_.Apply(PutPool("two")).ok());
  EXPECT_EQ(waiting.get().state().pools_size(), 2);
}

TEST_F(ServiceTest, TheDeadlineOfTheCallBoundsTheWait) {
  const Session session = OpenSession();
  pb::ApplyResponse response;
  const grpc::Status status =
      client_.Apply(DrainAndWait(session), &response, std::chrono::seconds(1));
  ASSERT_TRUE(status.ok()) << status.error_message();
  EXPECT_EQ(response.reached(), pb::WAIT_FOR_APPLIED);
  EXPECT_EQ(response.pending(), 1u);
}

TEST_F(ServiceTest, ACallWithoutADeadlineWaitsAsLongAsItSays) {
  Session session = OpenSession();
  const pb::ApplyRequest request = DrainAndWait(session);
  auto waiting = std::async(std::launch::async, [&] {
    TestClient other(daemon_.rpc().endpoint());
    grpc::ClientContext context;
    pb::ApplyResponse response;
    EXPECT_TRUE(other.stub().Apply(&context, request, &response).ok());
    return response;
  });
  WaitUntilDraining();
  session.client.Close();
  EXPECT_EQ(waiting.get().reached(), pb::WAIT_FOR_DRAINED);
}

TEST_F(ServiceTest, AClientThatGoesAwayWhileItWaitsHarmsNobody) {
  Session session = OpenSession();
  const pb::ApplyRequest request = DrainAndWait(session);
  grpc::ClientContext context;
  auto waiting = std::async(std::launch::async, [&] {
    TestClient other(daemon_.rpc().endpoint());
    pb::ApplyResponse response;
    return other.stub().Apply(&context, request, &response);
  });
  WaitUntilDraining();
  context.TryCancel();
  EXPECT_EQ(waiting.get().error_code(), StatusCode::CANCELLED);
  // The answer to the call that is gone comes only now.
  session.client.Close();
  EXPECT_TRUE(client_.IsServed());
}

TEST_F(ServiceTest, StoppingEndsCallsThatWait) {
  const Session session = OpenSession();
  const pb::ApplyRequest request = DrainAndWait(session);
  auto waiting = std::async(std::launch::async, [&] {
    TestClient other(daemon_.rpc().endpoint());
    pb::ApplyResponse response;
    return other.Apply(request, &response);
  });
  WaitUntilDraining();
  daemon_.rpc().Stop();
  const grpc::Status status = waiting.get();
  EXPECT_EQ(status.error_code(), StatusCode::UNAVAILABLE);
  EXPECT_EQ(DetailsOf(status).reason, "SERVER_DRAINING");
  EXPECT_TRUE(DetailsOf(status).has_retry);
}

TEST_F(ServiceTest, ADrainingDaemonAnswersReadsAndRefusesWrites) {
  const Session session = OpenSession();
  std::promise<uint64_t> drained;
  daemon_.controller().Drain(absl::Seconds(60), [&](uint64_t left) { drained.set_value(left); });
  const grpc::Status status = client_.Apply(PutPool("late"));
  EXPECT_EQ(status.error_code(), StatusCode::UNAVAILABLE);
  EXPECT_EQ(DetailsOf(status).reason, "SERVER_DRAINING");
  EXPECT_TRUE(DetailsOf(status).has_retry);
  EXPECT_EQ(client_.State().state().pools_size(), 1);
  pb::GetInfoResponse info;
  ASSERT_TRUE(client_.GetInfo(&info).ok());
  EXPECT_EQ(info.state(), pb::SERVER_STATE_DRAINING);
  // The callback refers to this frame.
  daemon_.rpc().Stop();
  daemon_.controller().Stop();
}

TEST_F(ServiceTest, ARequestOverTheMessageLimitIsRefused) {
  pb::ApplyRequest request = PutPool("web");
  request.set_comment(std::string(5 << 20, 'x'));
  EXPECT_EQ(client_.Apply(request).error_code(), StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_TRUE(client_.IsServed());
}

}  // namespace
}  // namespace sidelb::rpc
