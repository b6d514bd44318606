#include "server/rpc/rpc_server.h"

#include <grpc/support/log.h>
#include <grpcpp/ext/proto_server_reflection_plugin.h>
#include <grpcpp/grpcpp.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <utility>

#include "absl/time/clock.h"
#include "dataplane/base/status.h"
#include "fmt/format.h"
#include "server/rpc/access.h"
#include "server/rpc/control_service.h"
#include "server/rpc/limits.h"
#include "server/rpc/roles.h"
#include "server/rpc/tcp_acceptor.h"
#include "server/rpc/tls_credentials.h"
#include "server/rpc/unix_acceptor.h"
#include "server/rpc/user_connections.h"
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
  builder->AddChannelArgument(GRPC_ARG_MAX_METADATA_SIZE, kMaxMetadataBytes);
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
  builder->AddChannelArgument(GRPC_ARG_SERVER_HANDSHAKE_TIMEOUT_MS, kHandshakeMs);
}

void LogRoles(const std::string& path, const Roles& roles) {
  spdlog::info("roles: {} names {} callers", path, roles.size());
  if (!roles.has_admin()) spdlog::warn("roles: {} has no admin; nobody may do everything", path);
}

std::string HostName() {
  char name[256] = {};
  return gethostname(name, sizeof(name) - 1) == 0 ? name : "";
}

}  // namespace

// In the order of their start.
struct RpcServer::Parts {
  Endpoint endpoint;
  Security security;
  std::unique_ptr<TlsFiles> tls;  // with security.tls
  std::unique_ptr<Access> access;
  std::unique_ptr<UnixAcceptor> unix_acceptor;  // kUnix
  std::unique_ptr<TcpAcceptor> tcp_acceptor;    // kTcp
  std::unique_ptr<ControlService> service;
  std::unique_ptr<UserConnections> users;                                       // kUnix
  std::unique_ptr<grpc::experimental::ExternalConnectionAcceptor> connections;  // kTcp
  std::unique_ptr<grpc::Server> server;
  std::atomic<uint64_t> users_refused{0};

  absl::Status ReadSecurity();
  absl::Status Listen();
  void AddConnections(grpc::ServerBuilder* builder);
  void Accept();
  std::vector<std::pair<std::string, uint64_t>> Refusals() const;
};

absl::Status RpcServer::Parts::ReadSecurity() {
  if (security.tls) {
    auto files = TlsFiles::Load(*security.tls);
    if (!files.ok()) return files.status();
    tls = *std::move(files);
  }
  std::shared_ptr<const Roles> roles;
  if (!security.roles.empty()) {
    auto read = ReadRoles(security.roles);
    if (!read.ok()) return read.status();
    roles = std::make_shared<const Roles>(*std::move(read));
    LogRoles(security.roles, *roles);
  }
  access = std::make_unique<Access>(endpoint.ToString(), std::move(roles));
  return absl::OkStatus();
}

absl::Status RpcServer::Parts::Listen() {
  if (endpoint.kind == Endpoint::Kind::kUnix) {
    auto opened = UnixAcceptor::Open({.path = endpoint.path,
                                      .max_connections = kMaxControlConnections,
                                      .max_per_user = kMaxUserConnections});
    if (!opened.ok()) return opened.status();
    unix_acceptor = *std::move(opened);
    return absl::OkStatus();
  }
  auto opened = TcpAcceptor::Open({.address = endpoint.address,
                                   .max_connections = kMaxControlConnections,
                                   .max_per_source = kMaxSourceConnections,
                                   .max_rate = kMaxSourceRate});
  if (!opened.ok()) return opened.status();
  tcp_acceptor = *std::move(opened);
  endpoint.address = tcp_acceptor->address();
  return absl::OkStatus();
}

void RpcServer::Parts::AddConnections(grpc::ServerBuilder* builder) {
  if (unix_acceptor != nullptr) {
    users = std::make_unique<UserConnections>(builder);
    return;
  }
  connections = builder->experimental().AddExternalConnectionAcceptor(
      grpc::ServerBuilder::experimental_type::ExternalConnectionType::FROM_FD,
      tls != nullptr ? MakeTlsCredentials(tls.get()) : grpc::InsecureServerCredentials());
}

void RpcServer::Parts::Accept() {
  if (tcp_acceptor != nullptr) {
    tcp_acceptor->Start([this](AcceptLoop::Accepted connection) {
      grpc::experimental::ExternalConnectionAcceptor::NewConnectionParameters parameters;
      parameters.fd = connection.fd.Release();
      connections->HandleNewConnection(&parameters);
    });
    return;
  }
  unix_acceptor->Start([this](AcceptLoop::Accepted connection) {
    if (users->Hand(std::move(connection.fd), connection.uid)) return;
    if (users_refused.fetch_add(1) > 0) return;
    spdlog::warn(
        "{}: user {} is refused, {} others have come since the start and no more are known apart",
        endpoint.ToString(), connection.uid, kMaxUsers);
  });
}

std::vector<std::pair<std::string, uint64_t>> RpcServer::Parts::Refusals() const {
  const AcceptLoop::Counts counts =
      unix_acceptor != nullptr ? unix_acceptor->counts() : tcp_acceptor->counts();
  return {{"CONTROL_CONNECTION_LIMIT", counts.full},
          {"CONTROL_SOURCE_LIMIT", counts.source_full},
          {"CONTROL_RATE_LIMIT", counts.too_fast},
          {"CONTROL_USER_LIMIT", users_refused.load()},
          {"CONTROL_NOT_PERMITTED", access->denied()}};
}

absl::StatusOr<std::unique_ptr<RpcServer>> RpcServer::Open(const Endpoint& endpoint,
                                                           const Security& security) {
  auto parts = std::make_unique<Parts>();
  parts->endpoint = endpoint;
  parts->security = security;
  if (absl::Status status = parts->ReadSecurity(); !status.ok()) return status;
  if (absl::Status status = parts->Listen(); !status.ok()) return status;
  return std::unique_ptr<RpcServer>(new RpcServer(std::move(parts)));
}

absl::StatusOr<std::unique_ptr<RpcServer>> RpcServer::OpenDefault(
    const std::vector<std::string>& paths, const Security& security) {
  std::vector<std::string> reasons;
  for (const std::string& path : paths) {
    const std::string folder = path.substr(0, path.rfind('/'));
    // 0755: who may connect is decided by the mode of the socket.
    if (mkdir(folder.c_str(), 0755) != 0 && errno != EEXIST) {
      reasons.emplace_back(ErrnoToStatus(errno, folder).message());
      continue;
    }
    auto server = Open({.kind = Endpoint::Kind::kUnix, .path = path}, security);
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
                              const std::string& epoch, ShutdownSwitch* shutdown) {
  PrepareGrpc();
  Parts* const parts = parts_.get();
  parts->service = std::make_unique<ControlService>(
      controller, Identity{.version = version, .instance_id = HostName(), .epoch = epoch},
      WatchHub::Options(),
      ControlService::Surroundings{.access = parts->access.get(),
                                   .shutdown = shutdown,
                                   .refusals = [parts] { return parts->Refusals(); }});
  grpc::ServerBuilder builder;
  Configure(parts->endpoint, &builder);
  builder.RegisterService(parts->service.get());
  parts->AddConnections(&builder);
  parts->server = builder.BuildAndStart();
  if (parts->server == nullptr) return absl::UnavailableError("gRPC did not start");
  parts->server->GetHealthCheckService()->SetServingStatus(kServiceName, true);
  parts->Accept();
  return absl::OkStatus();
}

absl::Status RpcServer::Reload() {
  if (parts_->tls != nullptr) parts_->tls->Current();
  const std::string& path = parts_->security.roles;
  if (path.empty()) return absl::OkStatus();
  auto roles = ReadRoles(path);
  if (!roles.ok()) return roles.status();
  LogRoles(path, *roles);
  parts_->access->SetRoles(std::make_shared<const Roles>(*std::move(roles)));
  return absl::OkStatus();
}

const Endpoint& RpcServer::endpoint() const { return parts_->endpoint; }

void RpcServer::SetNotServing() {
  if (parts_->server != nullptr) parts_->server->GetHealthCheckService()->SetServingStatus(false);
}

void RpcServer::Stop(absl::Duration grace) {
  if (parts_->unix_acceptor != nullptr) parts_->unix_acceptor->Stop();
  if (parts_->tcp_acceptor != nullptr) parts_->tcp_acceptor->Stop();
  if (parts_->server == nullptr) return;
  parts_->service->Stop(grace);
  // Without a deadline it would wait for the clients to leave.
  parts_->server->Shutdown(absl::ToChronoTime(absl::Now() + grace));
  parts_->server->Wait();
  parts_->server.reset();
  parts_->connections.reset();
  parts_->users.reset();
  parts_->service.reset();
}

}  // namespace sidelb::rpc
