#include "server/rpc/rpc_server.h"

#include <grpc/support/log.h>
#include <grpcpp/ext/proto_server_reflection_plugin.h>
#include <grpcpp/grpcpp.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <optional>
#include <utility>

#include "absl/time/clock.h"
#include "dataplane/base/status.h"
#include "fmt/format.h"
#include "server/rpc/control_service.h"
#include "server/rpc/limits.h"
#include "server/rpc/unix_acceptor.h"
#include "spdlog/spdlog.h"

namespace sidelb::rpc {
namespace {

constexpr char kServiceName[] = "sidelb.v1.ControlService";
constexpr int kMinuteMs = 60'000;

// What gRPC has to say matters to developers; what matters to the user we say ourselves.
void LogOfGrpc(gpr_log_func_args* line) {
  spdlog::debug("grpc: {} ({}:{})", line->message, line->file, line->line);
}

// Once in the process, before anything else of gRPC.
void PrepareGrpc() {
  static const bool is_done = [] {
    gpr_set_log_function(LogOfGrpc);
    grpc::EnableDefaultHealthCheckService(true);
    grpc::reflection::InitProtoReflectionServerBuilderPlugin();
    return true;
  }();
  (void)is_done;
}

// Bounds of the endpoint; each is gRPC's own unless it is named here.
void Configure(const Endpoint& endpoint, grpc::ServerBuilder* builder) {
  builder->SetMaxReceiveMessageSize(kMaxMessageBytes);
  builder->SetMaxSendMessageSize(kMaxMessageBytes);
  // Reflection is the one synchronous service; it needs no more than this.
  builder->SetSyncServerOption(grpc::ServerBuilder::NUM_CQS, 1);
  builder->SetSyncServerOption(grpc::ServerBuilder::MIN_POLLERS, 1);
  builder->SetSyncServerOption(grpc::ServerBuilder::MAX_POLLERS, 2);
  grpc::ResourceQuota quota("control");
  quota.Resize(kTransportBufferBytes);
  builder->SetResourceQuota(quota);

  builder->AddChannelArgument(GRPC_ARG_MAX_CONCURRENT_STREAMS, kMaxStreams);
  // A second daemon must not share the port.
  builder->AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
  // Finds peers that vanished, and bears the keepalive of Python and Node clients.
  builder->AddChannelArgument(GRPC_ARG_KEEPALIVE_TIME_MS, 20'000);
  builder->AddChannelArgument(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, 10'000);
  builder->AddChannelArgument(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
  builder->AddChannelArgument(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS, 5'000);
  builder->AddChannelArgument(GRPC_ARG_HTTP2_MAX_PING_STRIKES, 3);
  builder->AddChannelArgument(GRPC_ARG_MAX_CONNECTION_IDLE_MS, 5 * kMinuteMs);
  if (endpoint.kind == Endpoint::Kind::kTcp) {
    builder->AddChannelArgument(GRPC_ARG_MAX_CONNECTION_AGE_MS, 60 * kMinuteMs);
    builder->AddChannelArgument(GRPC_ARG_MAX_CONNECTION_AGE_GRACE_MS, kMinuteMs / 2);
  }
  builder->AddChannelArgument(GRPC_ARG_SERVER_HANDSHAKE_TIMEOUT_MS, 5'000);
}

// Why `address` could not be bound: gRPC does not tell, so it is tried once more.
absl::Status BindError(const Address& address) {
  const std::string what = fmt::format("cannot listen on {}", address.ToString());
  const UniqueFd fd(socket(address.family(), SOCK_STREAM | SOCK_CLOEXEC, 0));
  const int on = 1;
  setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
  if (bind(fd.get(), address.data(), address.size()) != 0 || listen(fd.get(), 1) != 0) {
    return ErrnoToStatus(errno, what);
  }
  return absl::UnavailableError(fmt::format("{}: gRPC did not start", what));
}

std::string HostName() {
  char name[256] = {};
  return gethostname(name, sizeof(name) - 1) == 0 ? name : "";
}

}  // namespace

struct RpcServer::Parts {
  Endpoint endpoint;
  std::unique_ptr<UnixAcceptor> acceptor;  // kUnix
  std::unique_ptr<ControlService> service;
  std::unique_ptr<grpc::experimental::ExternalConnectionAcceptor> connections;
  std::unique_ptr<grpc::Server> server;
};

absl::StatusOr<std::unique_ptr<RpcServer>> RpcServer::Open(const Endpoint& endpoint) {
  auto parts = std::make_unique<Parts>();
  parts->endpoint = endpoint;
  if (endpoint.kind == Endpoint::Kind::kUnix) {
    auto acceptor =
        UnixAcceptor::Open({.path = endpoint.path, .max_connections = kMaxControlConnections});
    if (!acceptor.ok()) return acceptor.status();
    parts->acceptor = *std::move(acceptor);
  }
  return std::unique_ptr<RpcServer>(new RpcServer(std::move(parts)));
}

absl::StatusOr<std::unique_ptr<RpcServer>> RpcServer::OpenDefault(
    const std::vector<std::string>& paths) {
  std::vector<std::string> reasons;
  for (const std::string& path : paths) {
    const std::string folder = path.substr(0, path.rfind('/'));
    // 0755: who may connect is decided by the mode of the socket.
    if (mkdir(folder.c_str(), 0755) != 0 && errno != EEXIST) {
      reasons.emplace_back(ErrnoToStatus(errno, folder).message());
      continue;
    }
    auto server = Open({.kind = Endpoint::Kind::kUnix, .path = path});
    if (server.ok() || absl::IsAlreadyExists(server.status())) return server;
    reasons.emplace_back(server.status().message());
  }
  return absl::FailedPreconditionError(
      fmt::format("no place for the control socket ({}); name one with --control unix:PATH, or a "
                  "port with --control 127.0.0.1:PORT",
                  fmt::join(reasons, "; ")));
}

RpcServer::RpcServer(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}

RpcServer::~RpcServer() { Stop(); }

absl::Status RpcServer::Start(control::Controller* controller, const std::string& version,
                              const std::string& epoch) {
  PrepareGrpc();
  Endpoint& endpoint = parts_->endpoint;
  parts_->service = std::make_unique<ControlService>(
      controller, Identity{.version = version, .instance_id = HostName(), .epoch = epoch});
  grpc::ServerBuilder builder;
  Configure(endpoint, &builder);
  builder.RegisterService(parts_->service.get());
  int port = 0;
  if (parts_->acceptor != nullptr) {
    parts_->connections = builder.experimental().AddExternalConnectionAcceptor(
        grpc::ServerBuilder::experimental_type::ExternalConnectionType::FROM_FD,
        grpc::InsecureServerCredentials());
  } else {
    builder.AddListeningPort(endpoint.address.ToString(), grpc::InsecureServerCredentials(), &port);
  }
  parts_->server = builder.BuildAndStart();
  if (parts_->server == nullptr || (parts_->acceptor == nullptr && port == 0)) {
    parts_->server.reset();
    return endpoint.kind == Endpoint::Kind::kTcp ? BindError(endpoint.address)
                                                 : absl::UnavailableError("gRPC did not start");
  }
  parts_->server->GetHealthCheckService()->SetServingStatus(kServiceName, true);
  if (parts_->acceptor == nullptr) {
    endpoint.address = endpoint.address.WithPort(static_cast<uint16_t>(port));
    return absl::OkStatus();
  }
  parts_->acceptor->Start([parts = parts_.get()](UniqueFd connection) {
    grpc::experimental::ExternalConnectionAcceptor::NewConnectionParameters parameters;
    parameters.fd = connection.Release();
    parts->connections->HandleNewConnection(&parameters);
  });
  return absl::OkStatus();
}

const Endpoint& RpcServer::endpoint() const { return parts_->endpoint; }

void RpcServer::SetNotServing() {
  if (parts_->server != nullptr) parts_->server->GetHealthCheckService()->SetServingStatus(false);
}

void RpcServer::Stop(absl::Duration grace) {
  if (parts_->acceptor != nullptr) parts_->acceptor->Stop();
  if (parts_->server == nullptr) return;
  parts_->service->Stop(grace);
  // Without a deadline it would wait for the clients to leave.
  parts_->server->Shutdown(absl::ToChronoTime(absl::Now() + grace));
  parts_->server->Wait();
  parts_->server.reset();
  parts_->connections.reset();
  parts_->service.reset();
}

}  // namespace sidelb::rpc
