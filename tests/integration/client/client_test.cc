// The client library against a control service in this process that the test scripts.
#include <grpcpp/grpcpp.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <condition_variable>
#include <filesystem>
#include <functional>
#include <mutex>

#include "client/sidelb_client.h"
#include "gmock/gmock.h"
#include "google/rpc/error_details.pb.h"
#include "gtest/gtest.h"
#include "sidelb/v1/control.grpc.pb.h"

namespace sidelb::client {
namespace {

using testing::HasSubstr;

class ScriptedService : public pb::ControlService::Service {
 public:
  std::function<grpc::Status(grpc::ServerContext*, const pb::ApplyRequest&, pb::ApplyResponse*)>
      on_apply;
  std::function<grpc::Status(const pb::GetStateRequest&, pb::GetStateResponse*)> on_get_state;

  grpc::Status Apply(grpc::ServerContext* context, const pb::ApplyRequest* request,
                     pb::ApplyResponse* response) override {
    return on_apply(context, *request, response);
  }
  grpc::Status GetState(grpc::ServerContext*, const pb::GetStateRequest* request,
                        pb::GetStateResponse* response) override {
    return on_get_state(*request, response);
  }
  grpc::Status GetInfo(grpc::ServerContext*, const pb::GetInfoRequest*,
                       pb::GetInfoResponse* response) override {
    response->set_version("1.2.3");
    return grpc::Status::OK;
  }
};

// A folder of its own, removed at the end.
class TemporaryFolder {
 public:
  TemporaryFolder() {
    char name[] = "/tmp/sidelb-client-XXXXXX";
    path_ = mkdtemp(name);
  }
  ~TemporaryFolder() { std::filesystem::remove_all(path_); }
  std::string operator/(const std::string& name) const { return path_ + "/" + name; }

 private:
  std::string path_;
};

class ClientTest : public testing::Test {
 protected:
  void Serve(const std::string& address) {
    grpc::ServerBuilder builder;
    builder.AddListeningPort(address, grpc::InsecureServerCredentials(), &port_);
    builder.RegisterService(&service_);
    server_ = builder.BuildAndStart();
    ASSERT_NE(server_, nullptr);
  }

  Endpoint UnixEndpoint() const { return {Endpoint::Kind::kUnix, folder_ / "c.sock"}; }
  void ServeUnix() { Serve("unix:" + (folder_ / "c.sock")); }

  TemporaryFolder folder_;
  ScriptedService service_;
  std::unique_ptr<grpc::Server> server_;
  int port_ = 0;
};

TEST_F(ClientTest, AppliesOverAUnixSocket) {
  pb::ApplyRequest received;
  service_.on_apply = [&](grpc::ServerContext*, const pb::ApplyRequest& request,
                          pb::ApplyResponse* response) {
    received = request;
    response->set_revision(812);
    return grpc::Status::OK;
  };
  ServeUnix();
  Client client(UnixEndpoint(), {});
  pb::ApplyRequest request;
  request.add_ops()->set_remove_listener("old");

  const auto response = client.Apply(request);

  ASSERT_TRUE(response.ok()) << response.status();
  EXPECT_EQ(response->revision(), 812u);
  EXPECT_EQ(received.ops(0).remove_listener(), "old");
}

TEST_F(ClientTest, ReachesBothFamiliesOverTcp) {
  for (const std::string host : {"127.0.0.1", "[::1]"}) {
    Serve(host + ":0");
    Client client(*ParseEndpoint(host + ":" + std::to_string(port_)), {});

    const auto info = client.GetInfo();

    ASSERT_TRUE(info.ok()) << host << ": " << info.status();
    EXPECT_EQ(info->version(), "1.2.3");
  }
}

TEST_F(ClientTest, CollectsAllPages) {
  std::vector<std::string> tokens;
  service_.on_get_state = [&](const pb::GetStateRequest& request, pb::GetStateResponse* page) {
    tokens.push_back(request.page_token());
    EXPECT_EQ(request.filter().pools(0), "web");
    page->set_revision(812);
    page->set_total_size(3);
    page->mutable_state()->add_backends()->set_address(std::to_string(tokens.size()));
    if (tokens.size() < 3) page->set_next_page_token("page" + std::to_string(tokens.size()));
    return grpc::Status::OK;
  };
  ServeUnix();
  Client client(UnixEndpoint(), {});
  pb::GetStateRequest request;
  request.mutable_filter()->add_pools("web");
  request.set_page_token("ignored");

  const auto state = client.GetState(request);

  ASSERT_TRUE(state.ok()) << state.status();
  EXPECT_THAT(tokens, testing::ElementsAre("", "page1", "page2"));
  ASSERT_EQ(state->state().backends_size(), 3);
  EXPECT_EQ(state->state().backends(2).address(), "3");
  EXPECT_EQ(state->revision(), 812u);
  EXPECT_EQ(state->next_page_token(), "");
}

TEST_F(ClientTest, TakesAPageLargerThanTheDefaultOfGrpc) {
  service_.on_get_state = [&](const pb::GetStateRequest&, pb::GetStateResponse* page) {
    page->mutable_state()->add_backends()->mutable_effective()->set_zone(std::string(5 << 20, 'x'));
    return grpc::Status::OK;
  };
  ServeUnix();
  Client client(UnixEndpoint(), {});

  EXPECT_TRUE(client.GetState({}).ok());
}

TEST_F(ClientTest, FailsWhenALaterPageFails) {
  service_.on_get_state = [&](const pb::GetStateRequest& request, pb::GetStateResponse* page) {
    if (!request.page_token().empty()) {
      return grpc::Status(grpc::StatusCode::OUT_OF_RANGE, "the page has expired");
    }
    page->mutable_state()->add_backends();
    page->set_next_page_token("next");
    return grpc::Status::OK;
  };
  ServeUnix();
  Client client(UnixEndpoint(), {});

  EXPECT_TRUE(absl::IsOutOfRange(client.GetState({}).status()));
}

TEST_F(ClientTest, KeepsTheDaemonsDetails) {
  service_.on_apply = [](grpc::ServerContext*, const pb::ApplyRequest&, pb::ApplyResponse*) {
    google::rpc::Status status;
    google::rpc::ErrorInfo info;
    info.set_reason("STORE_UNAVAILABLE");
    info.set_domain("sidelb");
    status.add_details()->PackFrom(info);
    return grpc::Status(grpc::StatusCode::UNAVAILABLE, "the disk is full",
                        status.SerializeAsString());
  };
  ServeUnix();
  Client client(UnixEndpoint(), {});

  const absl::Status status = client.Apply({}).status();

  EXPECT_TRUE(absl::IsUnavailable(status));
  EXPECT_EQ(status.message(), "the disk is full");
  EXPECT_EQ(GetErrorDetails(status).reason, "STORE_UNAVAILABLE");
  EXPECT_EQ(GetErrorDetails(status).domain, "sidelb");
}

TEST_F(ClientTest, DoesNotRepeatAWrite) {
  int calls = 0;
  service_.on_apply = [&](grpc::ServerContext*, const pb::ApplyRequest&, pb::ApplyResponse*) {
    ++calls;
    return grpc::Status(grpc::StatusCode::UNAVAILABLE, "busy");
  };
  ServeUnix();
  Client client(UnixEndpoint(), {});

  EXPECT_FALSE(client.Apply({}).ok());
  EXPECT_EQ(calls, 1);
}

TEST_F(ClientTest, GivesUpAfterTheTimeout) {
  std::mutex mutex;
  std::condition_variable released;
  bool is_over = false;
  service_.on_apply = [&](grpc::ServerContext*, const pb::ApplyRequest&, pb::ApplyResponse*) {
    std::unique_lock lock(mutex);
    released.wait(lock, [&] { return is_over; });
    return grpc::Status::OK;
  };
  ServeUnix();
  Client client(UnixEndpoint(), {.timeout = absl::Milliseconds(50)});
  pb::ApplyRequest request;
  request.set_wait(pb::WAIT_FOR_COMMITTED);

  const absl::Status status = client.Apply(request).status();
  {
    std::lock_guard lock(mutex);
    is_over = true;
  }
  released.notify_all();

  EXPECT_TRUE(absl::IsDeadlineExceeded(status));
  EXPECT_EQ(GetErrorDetails(status).reason, kReasonTimeout);
  EXPECT_THAT(std::string(status.message()), HasSubstr("within 50ms"));
}

TEST_F(ClientTest, GivesTheDaemonTheTimeThatAnApplyWaits) {
  absl::Duration left;
  service_.on_apply = [&](grpc::ServerContext* context, const pb::ApplyRequest&,
                          pb::ApplyResponse*) {
    left = absl::FromChrono(context->deadline()) - absl::Now();
    return grpc::Status::OK;
  };
  ServeUnix();
  Client client(UnixEndpoint(), {.timeout = absl::Seconds(7)});
  pb::ApplyRequest request;
  request.mutable_wait_timeout()->set_seconds(100);

  ASSERT_TRUE(client.Apply(request).ok());

  EXPECT_GT(left, absl::Seconds(100));
  EXPECT_LT(left, absl::Seconds(120));
}

TEST_F(ClientTest, SaysThatTheConnectionWasLostWhileItWaited) {
  service_.on_apply = [&](grpc::ServerContext* context, const pb::ApplyRequest&,
                          pb::ApplyResponse*) {
    context->TryCancel();
    return grpc::Status::OK;
  };
  ServeUnix();
  Client client(UnixEndpoint(), {});

  const absl::Status status = client.Apply({}).status();

  EXPECT_TRUE(absl::IsUnavailable(status)) << status;
  EXPECT_EQ(GetErrorDetails(status).reason, kReasonConnectionLost);
}

TEST_F(ClientTest, SaysWhyNobodyAnswersAtASocket) {
  const Endpoint missing{Endpoint::Kind::kUnix, folder_ / "missing.sock"};
  const Endpoint dead{Endpoint::Kind::kUnix, folder_ / "dead.sock"};
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  dead.address.copy(address.sun_path, sizeof(address.sun_path) - 1);
  const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  ASSERT_EQ(bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
  close(fd);

  const absl::Status at_missing = Client(missing, {}).GetInfo().status();
  const absl::Status at_dead = Client(dead, {}).GetInfo().status();

  EXPECT_TRUE(absl::IsUnavailable(at_missing));
  EXPECT_EQ(GetErrorDetails(at_missing).reason, kReasonUnreachable);
  EXPECT_THAT(std::string(at_missing.message()), HasSubstr("No such file or directory"));
  EXPECT_THAT(std::string(at_missing.message()), HasSubstr(missing.ToString()));
  EXPECT_EQ(GetErrorDetails(at_dead).reason, kReasonUnreachable);
  EXPECT_THAT(std::string(at_dead.message()), HasSubstr("Connection refused"));
}

TEST_F(ClientTest, SaysThatTheSocketIsClosedToTheUser) {
  if (geteuid() == 0) GTEST_SKIP() << "root may connect anywhere";
  ServeUnix();
  std::filesystem::permissions(folder_ / "c.sock", std::filesystem::perms::none);

  const absl::Status status = Client(UnixEndpoint(), {}).GetInfo().status();

  EXPECT_TRUE(absl::IsPermissionDenied(status)) << status;
  EXPECT_EQ(GetErrorDetails(status).reason, kReasonUnreachable);
}

TEST_F(ClientTest, SaysWhyNobodyAnswersOverTcp) {
  Serve("127.0.0.1:0");
  server_->Shutdown();
  server_.reset();
  Client client(*ParseEndpoint("127.0.0.1:" + std::to_string(port_)), {});

  const absl::Status status = client.GetInfo().status();

  EXPECT_TRUE(absl::IsUnavailable(status));
  EXPECT_EQ(GetErrorDetails(status).reason, kReasonUnreachable);
  EXPECT_THAT(std::string(status.message()), HasSubstr("Connection refused"));
}

TEST_F(ClientTest, IgnoresTheProxyOfTheWeb) {
  setenv("http_proxy", "http://127.0.0.1:1", 1);
  Serve("127.0.0.1:0");
  Client client(*ParseEndpoint("127.0.0.1:" + std::to_string(port_)), {});

  const auto info = client.GetInfo();
  unsetenv("http_proxy");

  EXPECT_TRUE(info.ok()) << info.status();
}

TEST_F(ClientTest, ConnectsAgainAfterTheDaemonWasRestarted) {
  ServeUnix();
  Client client(UnixEndpoint(), {});
  ASSERT_TRUE(client.GetInfo().ok());

  server_->Shutdown();
  server_.reset();
  const absl::Status between = client.GetInfo().status();
  ServeUnix();
  // gRPC waits a moment before it connects again, and fails calls until then.
  const absl::Time deadline = absl::Now() + absl::Seconds(20);
  absl::Status after = client.GetInfo().status();
  while (!after.ok() && absl::Now() < deadline) after = client.GetInfo().status();

  EXPECT_TRUE(absl::IsUnavailable(between));
  EXPECT_TRUE(after.ok()) << after;
}

}  // namespace
}  // namespace sidelb::client
