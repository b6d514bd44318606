// Who may do what over the endpoint, and the bounds of it.
#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <fstream>
#include <future>
#include <vector>

#include "fmt/format.h"
#include "server/rpc/limits.h"
#include "server/rpc/shutdown_switch.h"
#include "server/rpc/tcp_acceptor.h"
#include "tests/integration/rpc/control_daemon.h"

namespace sidelb::rpc {
namespace {

using grpc::StatusCode;
using testing::AllOf;
using testing::HasSubstr;

std::string Me() { return fmt::format("uid:{}", geteuid()); }

void Write(const std::string& path, const std::string& text) { std::ofstream(path) << text; }

// An endpoint with a roles file, and a client on the unix socket, who is the user of the test.
class SecurityTest : public testing::Test {
 protected:
  void Start(const std::string& roles) {
    Write(roles_, roles);
    controller_ = *control::Controller::Start({.shards = 1});
    auto rpc = RpcServer::Open(UnixEndpoint(folder_ / "c.sock"), {.roles = roles_});
    ASSERT_TRUE(rpc.ok()) << rpc.status();
    rpc_ = *std::move(rpc);
    const absl::Status status = rpc_->Start(controller_.get(), "1.2.3", "epoch-1", &switch_);
    ASSERT_TRUE(status.ok()) << status;
    client_.emplace(rpc_->endpoint());
  }
  void TearDown() override {
    client_.reset();
    rpc_.reset();  // before the controller
  }

  grpc::Status Watch() {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + TestClient::kLimit);
    auto stream = client_->stub().Watch(&context, pb::WatchRequest());
    pb::WatchResponse message;
    if (stream->Read(&message)) context.TryCancel();
    return stream->Finish();
  }

  grpc::Status Shutdown(const pb::ShutdownRequest& request, pb::ShutdownResponse* response) {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + TestClient::kLimit);
    return client_->stub().Shutdown(&context, request, response);
  }

  TempFolder folder_;
  const std::string roles_ = folder_ / "roles";
  ShutdownSwitch switch_{absl::ZeroDuration(), absl::Seconds(25)};
  std::unique_ptr<control::Controller> controller_;
  std::unique_ptr<RpcServer> rpc_;
  std::optional<TestClient> client_;
};

pb::ApplyRequest Upsert(const std::string& owner, const std::string& pool) {
  pb::ApplyRequest request;
  request.set_owner(owner);
  auto* set = request.add_ops()->mutable_upsert_backends();
  set->set_pool(pool);
  set->add_backends()->set_address("10.0.0.1:80");
  return request;
}

TEST_F(SecurityTest, InfoSaysWhoTheCallerIs) {
  Start("viewer " + Me());

  pb::GetInfoResponse info;
  ASSERT_TRUE(client_->GetInfo(&info).ok());

  EXPECT_EQ(info.principal(), Me());
  EXPECT_EQ(info.role(), pb::ROLE_VIEWER);
}

TEST_F(SecurityTest, WhoIsNotListedGetsNothing) {
  Start(fmt::format("admin uid:{}", geteuid() + 1));

  pb::GetInfoResponse info;
  pb::GetStateResponse state;
  pb::ShutdownResponse shutdown;
  for (const grpc::Status& status : {client_->GetInfo(&info), client_->GetState({}, &state),
                                     client_->Apply({}), Watch(), Shutdown({}, &shutdown)}) {
    EXPECT_EQ(status.error_code(), StatusCode::PERMISSION_DENIED) << status.error_message();
    EXPECT_EQ(DetailsOf(status).reason, "ROLE");
    EXPECT_THAT(status.error_message(), HasSubstr(Me()));
  }
}

TEST_F(SecurityTest, ThePermissionIsLookedAtBeforeEverythingElse) {
  Start("owner " + Me() + " owners=api:mine");

  // There is no such pool, and the weight is wrong.
  pb::ApplyRequest request = Upsert("api:other", "no-such-pool");
  request.mutable_ops(0)->mutable_upsert_backends()->mutable_backends(0)->set_weight(70'000);
  const grpc::Status foreign = client_->Apply(request);
  request.set_owner("api:mine");
  const grpc::Status own = client_->Apply(request);

  EXPECT_EQ(foreign.error_code(), StatusCode::PERMISSION_DENIED) << foreign.error_message();
  EXPECT_EQ(DetailsOf(foreign).reason, "NOT_OWNER");
  EXPECT_EQ(DetailsOf(foreign).metadata["allowed"], "api:mine");
  EXPECT_NE(own.error_code(), StatusCode::PERMISSION_DENIED) << own.error_message();
  EXPECT_FALSE(own.ok());
}

TEST_F(SecurityTest, RolesAreReadAnewAndABrokenFileChangesNothing) {
  Start("admin " + Me());
  pb::ApplyRequest put;
  put.add_ops()->mutable_put_pool()->set_name("web");
  ASSERT_TRUE(client_->Apply(put).ok());

  Write(roles_, "king " + Me());
  EXPECT_THAT(std::string(rpc_->Reload().message()), AllOf(HasSubstr(roles_), HasSubstr("line 1")));
  EXPECT_TRUE(client_->Apply(put).ok()) << "what was in force stays";

  Write(roles_, "viewer " + Me());
  EXPECT_TRUE(rpc_->Reload().ok());
  EXPECT_EQ(client_->Apply(put).error_code(), StatusCode::PERMISSION_DENIED);
  EXPECT_EQ(client_->State().state().pools_size(), 1);
}

TEST_F(SecurityTest, RefusalsAreCounted) {
  Start("viewer " + Me());
  ASSERT_FALSE(client_->Apply({}).ok());
  ASSERT_FALSE(client_->Apply({}).ok());

  pb::GetInfoResponse info;
  ASSERT_TRUE(client_->GetInfo(&info).ok());

  ASSERT_EQ(info.faults_size(), 1);
  EXPECT_EQ(info.faults(0).code(), "CONTROL_NOT_PERMITTED");
  EXPECT_EQ(info.faults(0).count(), 2u);
}

TEST_F(SecurityTest, ABrokenRolesFileIsNamedWithItsLineAtTheStart) {
  Write(roles_, "admin uid:0\nking uid:1\n");
  const auto rpc = RpcServer::Open(UnixEndpoint(folder_ / "c.sock"), {.roles = roles_});
  EXPECT_THAT(std::string(rpc.status().message()),
              AllOf(HasSubstr(roles_), HasSubstr("line 2"), HasSubstr("'king'")));
}

TEST_F(SecurityTest, ShutdownTurnsTheSwitchOnOnce) {
  Start("admin " + Me());
  pb::ShutdownRequest request;
  request.set_mode(pb::SHUTDOWN_MODE_CANCEL);
  pb::ShutdownResponse first, second;
  EXPECT_EQ(DetailsOf(Shutdown(request, &first)).reason, "NOT_DRAINING");

  request.set_mode(pb::SHUTDOWN_MODE_DRAIN);
  request.set_request_id("end-1");
  request.mutable_drain_timeout()->set_seconds(60);
  ASSERT_TRUE(Shutdown(request, &first).ok());
  request.mutable_drain_timeout()->set_seconds(1);
  ASSERT_TRUE(Shutdown(request, &second).ok());

  pollfd wait{switch_.descriptor(), POLLIN, 0};
  EXPECT_EQ(poll(&wait, 1, 0), 1);
  EXPECT_EQ(switch_.drain_timeout(), absl::Seconds(60));
  EXPECT_EQ(first.state(), pb::SERVER_STATE_DRAINING);
  EXPECT_EQ(second.deadline().seconds(), first.deadline().seconds());
  request.set_mode(pb::SHUTDOWN_MODE_CANCEL);
  EXPECT_EQ(DetailsOf(Shutdown(request, &first)).reason, "NOT_CANCELLABLE");

  pb::ListAuditResponse audit;
  grpc::ClientContext context;
  ASSERT_TRUE(client_->stub().ListAudit(&context, {}, &audit).ok());
  ASSERT_EQ(audit.entries_size(), 3) << "the repetition did nothing";
  EXPECT_EQ(audit.entries(0).error_reason(), "NOT_CANCELLABLE");
  EXPECT_EQ(audit.entries(1).summary(), "shutdown: sessions may end within 1m");
  EXPECT_EQ(audit.entries(1).request_id(), "end-1");
  EXPECT_EQ(audit.entries(1).principal(), Me());
  EXPECT_EQ(audit.entries(2).error_reason(), "NOT_DRAINING");
}

TEST_F(SecurityTest, AWrongShutdownNamesItsField) {
  Start("admin " + Me());
  pb::ShutdownRequest request;
  pb::ShutdownResponse response;
  EXPECT_THAT(DetailsOf(Shutdown(request, &response)).violations["mode"],
              HasSubstr("SHUTDOWN_MODE_DRAIN"));
  request.set_mode(pb::SHUTDOWN_MODE_DRAIN);
  request.mutable_drain_timeout()->set_seconds(25 * 3600);
  EXPECT_THAT(DetailsOf(Shutdown(request, &response)).violations["drain_timeout"],
              HasSubstr("0s to 24h"));
  request.clear_drain_timeout();
  request.set_request_id(std::string(65, 'x'));
  EXPECT_THAT(DetailsOf(Shutdown(request, &response)).violations["request_id"],
              HasSubstr("at most 64"));
  EXPECT_FALSE(switch_.is_on());
}

// ---- Bounds ----

TEST_F(SecurityTest, AMessageOverTheLimitIsRefused) {
  Start("admin " + Me());
  pb::ApplyRequest request;
  request.set_comment(std::string(kMaxMessageBytes + 1, 'x'));
  EXPECT_EQ(client_->Apply(request).error_code(), StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_TRUE(client_->IsServed());
}

TEST_F(SecurityTest, MetadataOverTheLimitIsRefused) {
  Start("admin " + Me());
  const auto call_with = [this](size_t bytes) {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + TestClient::kLimit);
    context.AddMetadata("x-long", std::string(bytes, 'x'));
    pb::GetInfoResponse info;
    return client_->stub().GetInfo(&context, {}, &info);
  };
  const grpc::Status half = call_with(kMaxMetadataBytes / 2);
  EXPECT_TRUE(half.ok()) << half.error_code() << ": " << half.error_message();
  EXPECT_EQ(call_with(kMaxMetadataBytes).error_code(), StatusCode::RESOURCE_EXHAUSTED);
  // gRPC may give up the connection with it; whoever comes next is served.
  EXPECT_TRUE(TestClient(rpc_->endpoint()).IsServed());
}

TEST_F(SecurityTest, StreamsOverTheLimitOfAConnectionWait) {
  Start("admin " + Me());
  std::vector<std::unique_ptr<grpc::ClientContext>> contexts;
  std::vector<std::unique_ptr<grpc::ClientReader<pb::WatchResponse>>> streams;
  for (int i = 0; i < kMaxStreams; ++i) {
    contexts.push_back(std::make_unique<grpc::ClientContext>());
    streams.push_back(client_->stub().Watch(contexts.back().get(), pb::WatchRequest()));
    pb::WatchResponse message;
    ASSERT_TRUE(streams.back()->Read(&message)) << i;
  }
  pb::GetStateResponse state;
  EXPECT_EQ(client_->GetState({}, &state, std::chrono::milliseconds(300)).error_code(),
            StatusCode::DEADLINE_EXCEEDED);
  EXPECT_TRUE(TestClient(rpc_->endpoint()).IsServed()) << "another connection has its own";

  contexts.front()->TryCancel();
  streams.front()->Finish();
  EXPECT_TRUE(client_->IsServed());
  for (const auto& context : contexts) context->TryCancel();
  for (size_t i = 1; i < streams.size(); ++i) streams[i]->Finish();
}

UniqueFd ConnectTo(const Address& address) {
  UniqueFd fd(socket(address.family(), SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (connect(fd.get(), address.data(), address.size()) != 0) fd.Reset();
  return fd;
}

// Whether the other side has closed it.
bool IsClosed(const UniqueFd& fd) {
  pollfd wait{fd.get(), POLLIN, 0};
  char byte;
  return poll(&wait, 1, 10'000) == 1 && recv(fd.get(), &byte, 1, 0) <= 0;
}

TEST(TcpAcceptorTest, ASourceHasItsOwnLimitAndARateThatAreCounted) {
  auto acceptor = TcpAcceptor::Open(
      {.address = *Address::Parse("127.0.0.1:0"), .max_per_source = 2, .max_rate = 3});
  ASSERT_TRUE(acceptor.ok()) << acceptor.status();
  std::vector<UniqueFd> held;
  (*acceptor)->Start(
      [&held](AcceptLoop::Accepted connection) { held.push_back(std::move(connection.fd)); });

  // Two seconds' worth at once, of which two find room.
  std::vector<UniqueFd> clients;
  for (int i = 0; i < 7; ++i) clients.push_back(ConnectTo((*acceptor)->address()));
  for (int i = 2; i < 7; ++i) EXPECT_TRUE(IsClosed(clients[i])) << i;

  (*acceptor)->Stop();
  EXPECT_EQ(held.size(), 2u);
  EXPECT_EQ((*acceptor)->counts().source_full, 4u);
  EXPECT_EQ((*acceptor)->counts().too_fast, 1u);
  EXPECT_EQ((*acceptor)->counts().full, 0u);
}

TEST(TcpAcceptorTest, AllTogetherHaveALimit) {
  auto acceptor = TcpAcceptor::Open({.address = *Address::Parse("[::]:0"), .max_connections = 1});
  ASSERT_TRUE(acceptor.ok()) << acceptor.status();
  std::vector<UniqueFd> held;
  (*acceptor)->Start(
      [&held](AcceptLoop::Accepted connection) { held.push_back(std::move(connection.fd)); });
  const uint16_t port = (*acceptor)->address().port();

  const UniqueFd first = ConnectTo(Address::Parse("127.0.0.1:0")->WithPort(port));
  const UniqueFd second = ConnectTo(Address::Parse("[::1]:0")->WithPort(port));

  EXPECT_TRUE(IsClosed(second));
  (*acceptor)->Stop();
  EXPECT_EQ(held.size(), 1u);
  EXPECT_EQ((*acceptor)->counts().full, 1u);
}

TEST(TcpEndpointTest, LoopbackWithoutTlsIsAnonymousAndAdminWithoutAFile) {
  ControlDaemon daemon(*ParseEndpoint("127.0.0.1:0"));
  TestClient client(daemon.rpc().endpoint());
  pb::GetInfoResponse info;
  ASSERT_TRUE(client.GetInfo(&info).ok());
  EXPECT_EQ(info.principal(), "anonymous");
  EXPECT_EQ(info.role(), pb::ROLE_ADMIN);
}

}  // namespace
}  // namespace sidelb::rpc
