// GetStats over the socket, as a client sees it.
#include <gmock/gmock.h>

#include "tests/integration/rpc/control_daemon.h"
#include "tests/support/tcp.h"
#include "tests/support/test_data_plane.h"

namespace sidelb::rpc {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::Key;

class StatsServiceTest : public ::testing::Test {
 protected:
  grpc::Status GetStats(const pb::GetStatsRequest& request, pb::GetStatsResponse* response) {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + TestClient::kLimit);
    response->Clear();
    return client_.stub().GetStats(&context, request, response);
  }
  pb::GetStatsResponse Stats(const pb::GetStatsRequest& request = {}) {
    pb::GetStatsResponse response;
    const grpc::Status status = GetStats(request, &response);
    EXPECT_TRUE(status.ok()) << status.error_message();
    return response;
  }
  // Pool `web` of one backend behind `http`; its address.
  Address Serve(const Address& backend) {
    pb::ApplyRequest request;
    auto* pool = request.add_ops()->mutable_put_pool();
    pool->set_name("web");
    pool->mutable_health_check()->set_kind(pb::PROBE_KIND_NONE);
    auto* set = request.add_ops()->mutable_upsert_backends();
    set->set_pool("web");
    set->add_backends()->set_address(backend.ToString());
    auto* listener = request.add_ops()->mutable_put_listener();
    listener->set_name("http");
    listener->set_pool("web");
    listener->set_address("127.0.0.1:0");
    const grpc::Status status = client_.Apply(request);
    EXPECT_TRUE(status.ok()) << status.error_message();
    return *Address::Parse(client_.State().state().listeners(0).status().bound_address());
  }
  static std::vector<pb::ObjectKind> KindsOf(const pb::GetStatsResponse& stats) {
    std::vector<pb::ObjectKind> kinds;
    for (const pb::StatRow& row : stats.rows()) kinds.push_back(row.kind());
    return kinds;
  }

  TempFolder folder_;
  ControlDaemon daemon_{UnixEndpoint(folder_ / "control.sock")};
  TestClient client_{daemon_.rpc().endpoint()};
};

TEST_F(StatsServiceTest, RowsTellWhatSessionsDid) {
  testing::TcpServer server(testing::Echo);
  const Address address = Serve(server.address());
  testing::TcpSocket session = testing::TcpSocket::Connect(address);
  session.Send("hello");
  EXPECT_EQ(session.Receive(5), "hello");
  session.SendFin();
  session.ReceiveAll();
  pb::GetStatsResponse stats;
  EXPECT_TRUE(testing::TestDataPlane::WaitUntil([&] {
    stats = Stats();
    return stats.rows(0).active() == 0;
  }));

  ASSERT_THAT(KindsOf(stats),
              ElementsAre(pb::OBJECT_KIND_LISTENER, pb::OBJECT_KIND_POOL, pb::OBJECT_KIND_BACKEND));
  EXPECT_EQ(stats.rows(0).name(), "http");
  EXPECT_EQ(stats.rows(0).address(), address.ToString());
  EXPECT_EQ(stats.rows(1).name(), "web");
  EXPECT_EQ(stats.rows(2).name(), "web");
  EXPECT_EQ(stats.rows(2).address(), server.address().ToString());
  for (const pb::StatRow& row : stats.rows()) {
    EXPECT_EQ(row.total(), 1u);
    EXPECT_EQ(row.peak_active(), 1u);
    EXPECT_EQ(row.bytes_in(), 5u);
    EXPECT_EQ(row.bytes_out(), 5u);
    ASSERT_EQ(row.closes_size(), 1);
    EXPECT_EQ(row.closes(0).reason(), pb::CLOSE_REASON_FINISHED);
    EXPECT_EQ(row.closes(0).count(), 1u);
    EXPECT_EQ(row.has_connect_latency_p50(), row.kind() != pb::OBJECT_KIND_LISTENER);
  }
  pb::GetInfoResponse info;
  ASSERT_TRUE(client_.GetInfo(&info).ok());
  EXPECT_EQ(stats.since().seconds(), info.start_time().seconds());
  EXPECT_GE(stats.time().seconds(), stats.since().seconds());
  EXPECT_THAT(info.capabilities(), Contains("rpc:GetStats"));
}

TEST_F(StatsServiceTest, TheFilterIsThatOfGetState) {
  testing::TcpServer server(testing::Echo);
  Serve(server.address());
  pb::GetStatsRequest request;
  request.mutable_filter()->add_kinds(pb::OBJECT_KIND_POOL);
  EXPECT_THAT(KindsOf(Stats(request)), ElementsAre(pb::OBJECT_KIND_POOL));
  request.mutable_filter()->add_pools("other");
  EXPECT_THAT(KindsOf(Stats(request)), ElementsAre());

  pb::GetStatsResponse response;
  request.mutable_filter()->add_states(pb::BACKEND_STATE_UNSPECIFIED);
  const grpc::Status status = GetStats(request, &response);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_THAT(DetailsOf(status).violations, Contains(Key("filter.states[0]")));
}

TEST_F(StatsServiceTest, PeaksBeginAnewWhenAsked) {
  testing::TcpServer server(testing::Echo);
  const Address address = Serve(server.address());
  for (int i = 0; i < 2; ++i) {
    testing::TcpSocket session = testing::TcpSocket::Connect(address);
    session.Send("x");
    EXPECT_EQ(session.Receive(1), "x");
  }
  EXPECT_TRUE(testing::TestDataPlane::WaitUntil([&] { return Stats().rows(0).active() == 0; }));
  pb::GetStatsRequest request;
  request.set_reset_peaks(true);
  const pb::GetStatsResponse before = Stats(request), after = Stats();
  ASSERT_EQ(before.rows_size(), 3);
  for (const pb::StatRow& row : before.rows()) EXPECT_GE(row.peak_active(), 1u);
  for (const pb::StatRow& row : after.rows()) EXPECT_EQ(row.peak_active(), 0u);
}

TEST_F(StatsServiceTest, AfterTheStopNoCallIsAnswered) {
  daemon_.controller().Stop();
  pb::GetStatsResponse response;
  const grpc::Status status = GetStats({}, &response);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::UNAVAILABLE);
  EXPECT_EQ(DetailsOf(status).reason, "SERVER_DRAINING");
}

}  // namespace
}  // namespace sidelb::rpc
