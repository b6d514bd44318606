// The control endpoint: unix socket and TCP, one daemon each, health and reflection.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <grpcpp/generic/generic_stub.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <condition_variable>
#include <fstream>
#include <mutex>
#include <vector>

#include "server/rpc/limits.h"
#include "server/rpc/unix_acceptor.h"
#include "tests/integration/rpc/control_daemon.h"

namespace sidelb::rpc {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

constexpr int kLimitMs = 30'000;

sockaddr_un SocketAddress(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  path.copy(address.sun_path, sizeof(address.sun_path) - 1);
  return address;
}

UniqueFd NewSocket() { return UniqueFd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)); }

bool Connect(const UniqueFd& fd, const std::string& path) {
  const sockaddr_un address = SocketAddress(path);
  return connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0;
}

// A socket file at `path`; it listens while the descriptor is open.
UniqueFd ListenAt(const std::string& path) {
  UniqueFd fd = NewSocket();
  const sockaddr_un address = SocketAddress(path);
  EXPECT_EQ(bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)), 0);
  EXPECT_EQ(listen(fd.get(), 8), 0);
  return fd;
}

ino_t InodeOf(const std::string& path) {
  struct stat found {};
  return lstat(path.c_str(), &found) == 0 ? found.st_ino : 0;
}

bool IsReadable(const UniqueFd& fd) {
  pollfd wait{fd.get(), POLLIN, 0};
  return poll(&wait, 1, kLimitMs) == 1;
}

// Holds the connections that an acceptor hands over.
class Connections {
 public:
  UnixAcceptor::Handler handler() {
    return [this](AcceptLoop::Accepted connection) {
      const std::lock_guard lock(mutex_);
      held_.push_back(std::move(connection.fd));
      changed_.notify_all();
    };
  }
  bool WaitFor(size_t count) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, std::chrono::milliseconds(kLimitMs),
                             [&] { return held_.size() >= count; });
  }
  void CloseFirst() {
    const std::lock_guard lock(mutex_);
    held_.front().Reset();
  }
  int first() {
    const std::lock_guard lock(mutex_);
    return held_.front().get();
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<UniqueFd> held_;
};

TEST(UnixAcceptorTest, TheSocketIsForOwnerAndGroupAndGoesAtTheEnd) {
  TempFolder folder;
  const std::string path = folder / "control.sock";
  auto acceptor = UnixAcceptor::Open({.path = path});
  ASSERT_TRUE(acceptor.ok()) << acceptor.status();
  struct stat found {};
  ASSERT_EQ(stat(path.c_str(), &found), 0);
  EXPECT_TRUE(S_ISSOCK(found.st_mode));
  EXPECT_EQ(found.st_mode & 0777, 0660u);
  (*acceptor)->Stop();
  EXPECT_EQ(InodeOf(path), 0u);
  EXPECT_NE(InodeOf(path + ".lock"), 0u);
  EXPECT_TRUE(UnixAcceptor::Open({.path = path}).ok()) << "the lock was given up";
}

TEST(UnixAcceptorTest, ConnectionsThatCameBeforeTheStartAreServed) {
  TempFolder folder;
  const std::string path = folder / "control.sock";
  auto acceptor = UnixAcceptor::Open({.path = path});
  ASSERT_TRUE(acceptor.ok()) << acceptor.status();
  const UniqueFd client = NewSocket();
  ASSERT_TRUE(Connect(client, path));
  Connections connections;
  (*acceptor)->Start(connections.handler());
  ASSERT_TRUE(connections.WaitFor(1));
  const int flags = fcntl(connections.first(), F_GETFL);
  EXPECT_TRUE(flags & O_NONBLOCK);
  EXPECT_TRUE(fcntl(connections.first(), F_GETFD) & FD_CLOEXEC);
  (*acceptor)->Stop();
}

TEST(UnixAcceptorTest, ASecondOneIsRefusedAndTheFirstGoesOn) {
  TempFolder folder;
  const std::string path = folder / "control.sock";
  auto first = UnixAcceptor::Open({.path = path});
  ASSERT_TRUE(first.ok()) << first.status();
  Connections connections;
  (*first)->Start(connections.handler());
  const ino_t inode = InodeOf(path);

  const auto second = UnixAcceptor::Open({.path = path});

  EXPECT_TRUE(absl::IsAlreadyExists(second.status())) << second.status();
  EXPECT_THAT(std::string(second.status().message()),
              AllOf(HasSubstr(path), HasSubstr("process " + std::to_string(getpid())),
                    HasSubstr("--control")));
  EXPECT_EQ(InodeOf(path), inode);
  const UniqueFd client = NewSocket();
  ASSERT_TRUE(Connect(client, path));
  EXPECT_TRUE(connections.WaitFor(1));
  (*first)->Stop();
}

TEST(UnixAcceptorTest, ASocketThatWasLeftBehindIsReplaced) {
  TempFolder folder;
  const std::string path = folder / "control.sock";
  ListenAt(path).Reset();
  const ino_t stale = InodeOf(path);
  ASSERT_NE(stale, 0u);
  const auto acceptor = UnixAcceptor::Open({.path = path});
  ASSERT_TRUE(acceptor.ok()) << acceptor.status();
  const UniqueFd client = NewSocket();
  EXPECT_TRUE(Connect(client, path));
}

TEST(UnixAcceptorTest, ASocketThatAnotherProgramListensOnIsLeftAlone) {
  TempFolder folder;
  const std::string path = folder / "control.sock";
  const UniqueFd other = ListenAt(path);
  const ino_t inode = InodeOf(path);
  const auto acceptor = UnixAcceptor::Open({.path = path});
  EXPECT_TRUE(absl::IsAlreadyExists(acceptor.status())) << acceptor.status();
  EXPECT_THAT(std::string(acceptor.status().message()), HasSubstr("another program"));
  EXPECT_EQ(InodeOf(path), inode);
}

TEST(UnixAcceptorTest, AFileThatIsNoSocketIsLeftAlone) {
  TempFolder folder;
  const std::string path = folder / "notes.txt";
  std::ofstream(path) << "precious";
  const auto acceptor = UnixAcceptor::Open({.path = path});
  EXPECT_TRUE(absl::IsAlreadyExists(acceptor.status())) << acceptor.status();
  std::string text;
  std::ifstream(path) >> text;
  EXPECT_EQ(text, "precious");
}

TEST(UnixAcceptorTest, ASocketThatReplacedOursIsNotRemoved) {
  TempFolder folder;
  const std::string path = folder / "control.sock";
  auto acceptor = UnixAcceptor::Open({.path = path});
  ASSERT_TRUE(acceptor.ok()) << acceptor.status();
  ASSERT_EQ(rename(path.c_str(), (folder / "moved.sock").c_str()), 0);
  const UniqueFd other = ListenAt(path);
  (*acceptor)->Stop();
  const UniqueFd client = NewSocket();
  EXPECT_TRUE(Connect(client, path));
}

TEST(UnixAcceptorTest, PathsThatCannotBeAreRefusedByName) {
  TempFolder folder;
  const std::string long_path = folder / std::string(100, 'x');
  const auto too_long = UnixAcceptor::Open({.path = long_path});
  EXPECT_TRUE(absl::IsInvalidArgument(too_long.status())) << too_long.status();
  EXPECT_THAT(std::string(too_long.status().message()),
              AllOf(HasSubstr(long_path), HasSubstr("107")));
  EXPECT_TRUE(absl::IsInvalidArgument(UnixAcceptor::Open({.path = ""}).status()));
  const auto no_folder = UnixAcceptor::Open({.path = folder / "none/control.sock"});
  EXPECT_THAT(std::string(no_folder.status().message()),
              AllOf(HasSubstr("none/control.sock"), HasSubstr("No such file")));
}

TEST(UnixAcceptorTest, OneConnectionTooManyIsClosedUntilAnotherEnds) {
  TempFolder folder;
  const std::string path = folder / "control.sock";
  auto acceptor = UnixAcceptor::Open({.path = path, .max_connections = 2});
  ASSERT_TRUE(acceptor.ok()) << acceptor.status();
  Connections connections;
  (*acceptor)->Start(connections.handler());
  const UniqueFd clients[4] = {NewSocket(), NewSocket(), NewSocket(), NewSocket()};
  ASSERT_TRUE(Connect(clients[0], path) && Connect(clients[1], path));
  ASSERT_TRUE(connections.WaitFor(2));
  ASSERT_TRUE(Connect(clients[2], path));
  char byte = 0;
  ASSERT_TRUE(IsReadable(clients[2]));
  EXPECT_EQ(read(clients[2].get(), &byte, 1), 0) << "closed at once";
  connections.CloseFirst();
  ASSERT_TRUE(Connect(clients[3], path));
  EXPECT_TRUE(connections.WaitFor(3));
  (*acceptor)->Stop();
}

TEST(UnixAcceptorTest, BeingOutOfDescriptorsIsSurvived) {
  TempFolder folder;
  const std::string path = folder / "control.sock";
  auto acceptor = UnixAcceptor::Open({.path = path});
  ASSERT_TRUE(acceptor.ok()) << acceptor.status();
  Connections connections;
  const UniqueFd clients[2] = {NewSocket(), NewSocket()};
  rlimit limit{};
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &limit), 0);
  // The next descriptor would get the number of a copy that is closed again.
  const int next = dup(0);
  close(next);
  const rlimit none{static_cast<rlim_t>(next), limit.rlim_max};
  ASSERT_TRUE(Connect(clients[0], path));
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &none), 0);
  (*acceptor)->Start(connections.handler());
  // The queued connection makes it fail; this one comes while it backs off or fails again.
  EXPECT_TRUE(Connect(clients[1], path));
  EXPECT_EQ(dup(0), -1) << "descriptors must be short for this test";
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &limit), 0);
  EXPECT_TRUE(connections.WaitFor(2));
  (*acceptor)->Stop();
}

TEST(RpcServerTest, ASecondDaemonIsRefusedAndTheFirstServesOn) {
  TempFolder folder;
  ControlDaemon daemon(UnixEndpoint(folder / "control.sock"));
  const auto second = RpcServer::Open(daemon.rpc().endpoint());
  EXPECT_TRUE(absl::IsAlreadyExists(second.status())) << second.status();
  EXPECT_TRUE(TestClient(daemon.rpc().endpoint()).IsServed());
}

TEST(RpcServerTest, ADaemonMayFollowOnTheSameEndpoint) {
  TempFolder folder;
  const Endpoint endpoint = UnixEndpoint(folder / "control.sock");
  for (int i = 0; i < 2; ++i) {
    ControlDaemon daemon(endpoint);
    EXPECT_TRUE(TestClient(endpoint).IsServed()) << i;
    daemon.rpc().Stop();
    EXPECT_EQ(InodeOf(endpoint.path), 0u);
  }
}

// gRPC closes its connections by itself; the acceptor must see that.
TEST(RpcServerTest, MoreClientsThanTheLimitMayComeOneAfterTheOther) {
  TempFolder folder;
  ControlDaemon daemon(UnixEndpoint(folder / "control.sock"));
  for (size_t i = 0; i < kMaxControlConnections + 50; ++i) {
    ASSERT_TRUE(TestClient(daemon.rpc().endpoint()).IsServed()) << i;
  }
}

TEST(RpcServerTest, TcpTakesThePortThatTheKernelChose) {
  ControlDaemon daemon(*ParseEndpoint("127.0.0.1:0"));
  EXPECT_NE(daemon.rpc().endpoint().address.port(), 0);
  EXPECT_TRUE(TestClient(daemon.rpc().endpoint()).IsServed());
}

TEST(RpcServerTest, ATcpPortIsNotShared) {
  ControlDaemon daemon(*ParseEndpoint("127.0.0.1:0"));
  const Endpoint endpoint = daemon.rpc().endpoint();
  const absl::Status status = RpcServer::Open(endpoint).status();
  EXPECT_TRUE(absl::IsFailedPrecondition(status)) << status;
  EXPECT_THAT(std::string(status.message()),
              AllOf(HasSubstr(endpoint.ToString()), HasSubstr("Address already in use")));
  EXPECT_TRUE(TestClient(endpoint).IsServed());
}

TEST(RpcServerTest, TheDefaultIsTheFirstPlaceThatWillDo) {
  TempFolder folder;
  const std::string path = folder / "sidelb/control.sock";
  const auto server = RpcServer::OpenDefault({"/dev/null/sidelb/control.sock", path});
  ASSERT_TRUE(server.ok()) << server.status();
  EXPECT_EQ((*server)->endpoint().path, path);
}

TEST(RpcServerTest, ThePlaceOfAnotherDaemonIsNotPassedOver) {
  TempFolder folder;
  const std::string first = folder / "1/control.sock";
  const auto server = RpcServer::OpenDefault({first});
  ASSERT_TRUE(server.ok()) << server.status();
  const auto second = RpcServer::OpenDefault({first, folder / "2/control.sock"});
  EXPECT_TRUE(absl::IsAlreadyExists(second.status())) << second.status();
}

TEST(RpcServerTest, NoPlaceAtAllIsAnErrorThatNamesTheArgument) {
  const auto server = RpcServer::OpenDefault({"/dev/null/a/control.sock"});
  EXPECT_TRUE(absl::IsFailedPrecondition(server.status())) << server.status();
  EXPECT_THAT(std::string(server.status().message()),
              AllOf(HasSubstr("/dev/null/a"), HasSubstr("--control unix:PATH")));
}

grpc::ByteBuffer Bytes(const std::string& bytes) {
  const grpc::Slice slice(bytes);
  return grpc::ByteBuffer(&slice, 1);
}

std::string Text(const grpc::ByteBuffer& buffer) {
  std::vector<grpc::Slice> slices;
  EXPECT_TRUE(buffer.Dump(&slices).ok());
  std::string text;
  for (const auto& slice : slices) text.append(slice.begin(), slice.end());
  return text;
}

bool WaitForTag(grpc::CompletionQueue* queue) {
  void* tag = nullptr;
  bool is_ok = false;
  return queue->AsyncNext(&tag, &is_ok,
                          std::chrono::system_clock::now() + std::chrono::milliseconds(kLimitMs)) ==
             grpc::CompletionQueue::GOT_EVENT &&
         is_ok;
}

// Debian ships no generated code of grpc.health.v1, so the messages are written by hand: the
// request has the service's name in field 1, the answer the state: 1 SERVING, 2 NOT_SERVING.
std::string Health(const TestClient& client, const std::string& service) {
  grpc::GenericStub stub(client.channel());
  grpc::CompletionQueue queue;
  grpc::ClientContext context;
  const std::string request =
      service.empty() ? "" : std::string("\x0a") + static_cast<char>(service.size()) + service;
  auto call =
      stub.PrepareUnaryCall(&context, "/grpc.health.v1.Health/Check", Bytes(request), &queue);
  call->StartCall();
  grpc::ByteBuffer answer;
  grpc::Status status;
  call->Finish(&answer, &status, nullptr);
  EXPECT_TRUE(WaitForTag(&queue));
  EXPECT_TRUE(status.ok()) << status.error_message();
  return status.ok() ? Text(answer) : "";
}

TEST(RpcServerTest, HealthFollowsTheDaemon) {
  TempFolder folder;
  ControlDaemon daemon(UnixEndpoint(folder / "control.sock"));
  TestClient client(daemon.rpc().endpoint());
  for (const char* service : {"", "sidelb.v1.ControlService"}) {
    EXPECT_EQ(Health(client, service), "\x08\x01") << service;
  }
  daemon.rpc().SetNotServing();
  for (const char* service : {"", "sidelb.v1.ControlService"}) {
    EXPECT_EQ(Health(client, service), "\x08\x02") << service;
  }
  EXPECT_TRUE(client.IsServed()) << "reads are answered until the end";
}

TEST(RpcServerTest, ReflectionNamesTheService) {
  TempFolder folder;
  ControlDaemon daemon(UnixEndpoint(folder / "control.sock"));
  TestClient client(daemon.rpc().endpoint());
  grpc::GenericStub stub(client.channel());
  grpc::CompletionQueue queue;
  grpc::ClientContext context;
  auto call = stub.PrepareCall(
      &context, "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo", &queue);
  call->StartCall(nullptr);
  ASSERT_TRUE(WaitForTag(&queue));
  call->Write(Bytes(std::string("\x3a\x01*")), nullptr);  // list_services = "*"
  ASSERT_TRUE(WaitForTag(&queue));
  grpc::ByteBuffer answer;
  call->Read(&answer, nullptr);
  ASSERT_TRUE(WaitForTag(&queue));
  EXPECT_THAT(Text(answer), HasSubstr("sidelb.v1.ControlService"));
  call->WritesDone(nullptr);
  ASSERT_TRUE(WaitForTag(&queue));
  grpc::Status status;
  call->Finish(&status, nullptr);
  ASSERT_TRUE(WaitForTag(&queue));
  EXPECT_TRUE(status.ok()) << status.error_message();
}

}  // namespace
}  // namespace sidelb::rpc
