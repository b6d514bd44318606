// The status socket of a daemon in this process, and who asks it.
#include "server/status_socket.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <thread>
#include <vector>

#include "dataplane/base/unique_fd.h"
#include "server/server.h"
#include "server/status_check.h"
#include "tests/integration/rpc/control_daemon.h"
#include "tests/support/tcp.h"

namespace sidelb::server {
namespace {

using rpc::TempFolder;
using sidelb::testing::TcpServer;
using ::testing::AllOf;
using ::testing::HasSubstr;

constexpr absl::Duration kStatusLimit = absl::Seconds(30);

Options OptionsWithStatusAt(const TempFolder& folder) {
  Options options;
  options.control = rpc::UnixEndpoint(folder / "control.sock");
  options.status_place = StatusPlace::kPath;
  options.status_path = folder / "status.sock";
  return options;
}

StatusReport Ask(const std::string& path, absl::Duration timeout = kStatusLimit) {
  return AskStatus({.paths = {path}, .timeout = timeout});
}

// A socket at `path` that listens and never answers.
UniqueFd ListenAt(const std::string& path) {
  UniqueFd fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  path.copy(address.sun_path, sizeof(address.sun_path) - 1);
  EXPECT_EQ(bind(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
  EXPECT_EQ(listen(fd.get(), 8), 0);
  return fd;
}

TEST(StatusSocketTest, ADaemonWithABackendIsHealthy) {
  TempFolder folder;
  TcpServer backend(sidelb::testing::Echo);
  Options options = OptionsWithStatusAt(folder);
  options.bind = *Address::Parse("127.0.0.1:0");
  options.backends = {backend.address()};
  const auto server = Server::Start(options);
  ASSERT_TRUE(server.ok()) << server.status();
  const StatusReport report = Ask(options.status_path);
  EXPECT_TRUE(report.is_healthy);
  EXPECT_TRUE(report.is_answer);
  EXPECT_EQ(report.text, "HEALTHY\n");
}

TEST(StatusSocketTest, AListenerWithoutABackendIsUnhealthy) {
  TempFolder folder;
  Options options = OptionsWithStatusAt(folder);
  options.bind = *Address::Parse("127.0.0.1:0");
  const auto server = Server::Start(options);
  ASSERT_TRUE(server.ok()) << server.status();
  const StatusReport report = Ask(options.status_path);
  EXPECT_FALSE(report.is_healthy);
  EXPECT_TRUE(report.is_answer);
  EXPECT_EQ(report.text, "UNHEALTHY\n");
}

TEST(StatusSocketTest, AnEmptyDaemonIsHealthyUntilItDrains) {
  TempFolder folder;
  const Options options = OptionsWithStatusAt(folder);
  const auto server = Server::Start(options);
  ASSERT_TRUE(server.ok()) << server.status();
  EXPECT_TRUE(Ask(options.status_path).is_healthy);
  (*server)->Drain();
  EXPECT_EQ(Ask(options.status_path).text, "UNHEALTHY\n");
  (*server)->Stop();
  EXPECT_FALSE(std::filesystem::exists(options.status_path)) << "it goes with the daemon";
}

TEST(StatusSocketTest, ManyAtATimeAreAllAnswered) {
  TempFolder folder;
  const Options options = OptionsWithStatusAt(folder);
  const auto server = Server::Start(options);
  ASSERT_TRUE(server.ok()) << server.status();
  std::vector<std::thread> threads;
  for (int i = 0; i < 8; ++i) {
    threads.emplace_back([&options] {
      for (int j = 0; j < 50; ++j) EXPECT_TRUE(Ask(options.status_path).is_healthy);
    });
  }
  for (std::thread& thread : threads) thread.join();
}

TEST(StatusSocketTest, ASecondDaemonLeavesTheSocketAlone) {
  TempFolder folder;
  const Options options = OptionsWithStatusAt(folder);
  const auto first = Server::Start(options);
  ASSERT_TRUE(first.ok()) << first.status();
  Options others = options;
  others.control = rpc::UnixEndpoint(folder / "other.sock");
  const auto second = Server::Start(others);
  EXPECT_TRUE(absl::IsAlreadyExists(second.status()));
  EXPECT_THAT(std::string(second.status().message()),
              AllOf(HasSubstr(options.status_path), HasSubstr("--status-socket")));
  EXPECT_TRUE(Ask(options.status_path).is_healthy);
}

TEST(StatusSocketTest, ByDefaultItTakesTheFirstPlaceThatIsFree) {
  TempFolder folder;
  std::ofstream(folder / "file") << "no socket";
  const auto first = StatusSocket::OpenDefault({folder / "file", folder / "a.sock"});
  ASSERT_NE(first, nullptr);
  EXPECT_EQ(first->path(), folder / "a.sock");
  const auto second = StatusSocket::OpenDefault({folder / "a.sock", folder / "b.sock"});
  ASSERT_NE(second, nullptr);
  EXPECT_EQ(second->path(), folder / "b.sock");
  EXPECT_EQ(StatusSocket::OpenDefault({folder / "none/c.sock"}), nullptr);
}

TEST(StatusSocketTest, EveryUserMayAsk) {
  TempFolder folder;
  const auto status = StatusSocket::Open(folder / "s.sock");
  ASSERT_TRUE(status.ok()) << status.status();
  struct stat found {};
  ASSERT_EQ(lstat((folder / "s.sock").c_str(), &found), 0);
  EXPECT_EQ(found.st_mode & 0777, 0666u);
}

TEST(AskStatusTest, NoSocketIsSaidPlainly) {
  TempFolder folder;
  const StatusReport report = AskStatus({.paths = {folder / "a", folder / "b"}});
  EXPECT_FALSE(report.is_healthy);
  EXPECT_FALSE(report.is_answer);
  EXPECT_THAT(report.text, AllOf(HasSubstr(folder / "a"), HasSubstr(folder / "b"),
                                 HasSubstr("is sidelb running?"), HasSubstr("No such file")));
}

TEST(AskStatusTest, ALeftSocketDoesNotHideALiveOne) {
  TempFolder folder;
  ListenAt(folder / "left.sock").Reset();
  const Options options = OptionsWithStatusAt(folder);
  const auto server = Server::Start(options);
  ASSERT_TRUE(server.ok()) << server.status();
  EXPECT_TRUE(
      AskStatus({.paths = {folder / "left.sock", options.status_path}, .timeout = kStatusLimit})
          .is_healthy);
}

TEST(AskStatusTest, SilenceIsAnErrorWhenTheTimeIsUp) {
  TempFolder folder;
  const UniqueFd silent = ListenAt(folder / "s.sock");
  const StatusReport report = Ask(folder / "s.sock", absl::Milliseconds(20));
  EXPECT_FALSE(report.is_healthy);
  EXPECT_THAT(report.text, AllOf(HasSubstr("no answer"), HasSubstr(folder / "s.sock")));
}

}  // namespace
}  // namespace sidelb::server
