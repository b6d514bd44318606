// The daemon as a whole, in this process: standalone start, refusals, drain, notifications.
#include "server/server.h"

#include <gmock/gmock.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <future>
#include <string>

#include "server/log.h"
#include "server/sd_notify.h"
#include "spdlog/spdlog.h"
#include "tests/integration/rpc/control_daemon.h"
#include "tests/support/tcp.h"

namespace sidelb::server {
namespace {

using rpc::TempFolder;
using rpc::TestClient;
using sidelb::testing::TcpServer;
using sidelb::testing::TcpSocket;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

Options OptionsAt(const TempFolder& folder) {
  Options options;
  options.control = rpc::UnixEndpoint(folder / "control.sock");
  options.drain_timeout = absl::Seconds(60);
  return options;
}

Address BoundAddress(const Server& server) {
  TestClient client(server.control_endpoint());
  return *Address::Parse(client.State().state().listeners(0).status().bound_address());
}

TEST(ServerTest, AStandaloneStartCarriesTraffic) {
  TempFolder folder;
  TcpServer backend(sidelb::testing::Greet("hello"));
  Options options = OptionsAt(folder);
  options.bind = *Address::Parse("127.0.0.1:0");
  options.backends = {backend.address()};
  options.shards = 2;
  const auto server = Server::Start(options);
  ASSERT_TRUE(server.ok()) << server.status();
  TcpSocket client = TcpSocket::Connect(BoundAddress(**server));
  EXPECT_EQ(client.Receive(5), "hello");

  TestClient control((*server)->control_endpoint());
  const auto state = control.State().state();
  EXPECT_EQ(state.pools(0).name(), "default");
  EXPECT_EQ(state.listeners(0).name(), "default");
  EXPECT_EQ(state.backends(0).claims(0).owner(), "static");
}

TEST(ServerTest, WithoutAnAddressItStartsEmpty) {
  TempFolder folder;
  const auto server = Server::Start(OptionsAt(folder));
  ASSERT_TRUE(server.ok()) << server.status();
  EXPECT_EQ(TestClient((*server)->control_endpoint()).State().total_size(), 0u);
}

TEST(ServerTest, AnAddressInUseIsNamedWithItsReason) {
  TempFolder folder;
  const sidelb::testing::RefusedAddress taken;
  Options options = OptionsAt(folder);
  options.bind = taken.address;
  const auto server = Server::Start(options);
  ASSERT_FALSE(server.ok());
  EXPECT_THAT(std::string(server.status().message()),
              AllOf(HasSubstr(taken.address.ToString()), HasSubstr("Address already in use")));
  options.bind.reset();
  EXPECT_TRUE(Server::Start(options).ok()) << "the failed start must leave the endpoint free";
}

TEST(ServerTest, ASecondDaemonFailsBeforeItTouchesTraffic) {
  TempFolder folder;
  TcpServer backend(sidelb::testing::Greet("hello"));
  Options options = OptionsAt(folder);
  options.bind = *Address::Parse("127.0.0.1:0");
  options.backends = {backend.address()};
  const auto first = Server::Start(options);
  ASSERT_TRUE(first.ok()) << first.status();
  const auto second = Server::Start(options);
  EXPECT_TRUE(absl::IsAlreadyExists(second.status())) << second.status();
  TcpSocket client = TcpSocket::Connect(BoundAddress(**first));
  EXPECT_EQ(client.Receive(5), "hello");
}

TEST(ServerTest, ADrainWaitsForSessionsAndTakesNoNewOnes) {
  TempFolder folder;
  TcpServer backend(sidelb::testing::Echo);
  Options options = OptionsAt(folder);
  options.bind = *Address::Parse("127.0.0.1:0");
  options.backends = {backend.address()};
  const auto server = Server::Start(options);
  ASSERT_TRUE(server.ok()) << server.status();
  const Address address = BoundAddress(**server);
  TcpSocket session = TcpSocket::Connect(address);
  session.Send("a");
  ASSERT_EQ(session.Receive(1), "a");

  auto drained = std::async(std::launch::async, [&] { (*server)->Drain(); });
  while (TcpSocket::Connect(address).is_open()) {
  }
  session.Send("b");
  EXPECT_EQ(session.Receive(1), "b") << "the session goes on";
  EXPECT_EQ(drained.wait_for(std::chrono::seconds(0)), std::future_status::timeout);
  session.SendFin();
  EXPECT_EQ(session.WaitForEnd(), sidelb::testing::End::kFin);
  drained.get();
  (*server)->Stop();
}

TEST(ServerTest, SessionsThatOutlastTheDrainAreReset) {
  TempFolder folder;
  TcpServer backend(sidelb::testing::Echo);
  Options options = OptionsAt(folder);
  options.bind = *Address::Parse("127.0.0.1:0");
  options.backends = {backend.address()};
  options.drain_timeout = absl::Milliseconds(50);
  const auto server = Server::Start(options);
  ASSERT_TRUE(server.ok()) << server.status();
  TcpSocket session = TcpSocket::Connect(BoundAddress(**server));
  session.Send("a");
  ASSERT_EQ(session.Receive(1), "a");
  (*server)->Drain();
  (*server)->Stop();
  EXPECT_EQ(session.WaitForEnd(), sidelb::testing::End::kReset);
}

// A datagram socket at `name`, as NOTIFY_SOCKET writes it, and the next datagram that it gets.
class NotifySocket {
 public:
  explicit NotifySocket(const std::string& name) : fd_(socket(AF_UNIX, SOCK_DGRAM, 0)) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    name.copy(address.sun_path, sizeof(address.sun_path) - 1);
    if (name[0] == '@') address.sun_path[0] = '\0';
    const auto size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + name.size());
    EXPECT_EQ(bind(fd_.get(), reinterpret_cast<sockaddr*>(&address), size), 0);
  }
  std::string Receive() {
    char text[256];
    const ssize_t size = recv(fd_.get(), text, sizeof(text), MSG_DONTWAIT);
    return size < 0 ? "" : std::string(text, size);
  }

 private:
  UniqueFd fd_;
};

TEST(NotifySystemdTest, ReachesPathsAndAbstractNames) {
  TempFolder folder;
  for (const std::string& name : {folder / "notify", "@sidelb-test-" + std::to_string(getpid())}) {
    NotifySocket socket(name);
    ASSERT_TRUE(NotifySystemd(name, "READY=1").ok()) << name;
    EXPECT_EQ(socket.Receive(), "READY=1") << name;
  }
}

TEST(NotifySystemdTest, NobodyAskedIsFineAndNobodyThereIsAnError) {
  EXPECT_TRUE(NotifySystemd("", "READY=1").ok());
  EXPECT_FALSE(NotifySystemd("/nonexistent/notify", "READY=1").ok());
  EXPECT_TRUE(absl::IsInvalidArgument(NotifySystemd("relative", "READY=1")));
  EXPECT_TRUE(absl::IsInvalidArgument(NotifySystemd("/" + std::string(200, 'x'), "READY=1")));
}

TEST(LogTest, WhatIsQueuedIsWrittenAndWhatIsLateIsDropped) {
  ::testing::internal::CaptureStderr();
  StartLog(LogLevel::kInfo, LogFormat::kJson);
  for (int i = 0; i < 1'000; ++i) spdlog::info("line {}", i);
  spdlog::debug("too detailed");
  StopLog();
  spdlog::error("late");
  const std::string text = ::testing::internal::GetCapturedStderr();
  EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 1'000);
  EXPECT_THAT(text, AllOf(HasSubstr("\"line 999\""), Not(HasSubstr("late")),
                          Not(HasSubstr("too detailed")), Not(HasSubstr("LOG ERROR"))));
}

}  // namespace
}  // namespace sidelb::server
