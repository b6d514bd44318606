#include "server/server.h"

#include <sys/resource.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <future>
#include <utility>

#include "absl/time/clock.h"
#include "fmt/format.h"
#include "server/control/desired_state.h"
#include "server/control/errors.h"
#include "server/providers/ring_provider.h"
#include "server/providers/static_provider.h"
#include "server/store/sqlite_store.h"
#include "spdlog/spdlog.h"

namespace sidelb::server {
namespace {

constexpr int kNiceStep = 5;
// What a session costs: two descriptors, and a little for pipes, listeners and the rest.
constexpr double kSessionsPerDescriptor = 0.45;
constexpr rlim_t kMostDescriptors = 1'048'576;  // beyond it no advice helps
constexpr absl::Duration kStartWait = absl::Seconds(60);

control::Info GetInfo(control::Controller* controller) {
  std::promise<control::Info> promise;
  controller->GetInfo([&promise](control::Info info) { promise.set_value(std::move(info)); });
  return promise.get_future().get();
}

absl::StatusOr<control::ApplyResponse> Apply(control::Controller* controller,
                                             control::ApplyRequest request) {
  request.caller.principal = "server";
  std::promise<absl::StatusOr<control::ApplyResponse>> promise;
  controller->Apply(std::move(request), [&promise](absl::StatusOr<control::ApplyResponse> result) {
    promise.set_value(std::move(result));
  });
  return promise.get_future().get();
}

// gRPC works in the spare time of the shards: the threads that this one creates from now on yield
// to them. The nice value of Linux belongs to the thread.
void RaiseNice() {
  errno = 0;
  const int nice_value = getpriority(PRIO_PROCESS, 0);
  if (errno != 0 || setpriority(PRIO_PROCESS, 0, nice_value + kNiceStep) != 0) {
    spdlog::warn("cannot raise the nice value of the control endpoint: {}", std::strerror(errno));
  }
}

// Whether `op` of the arguments is of a listener or pool that was stored: it may have been changed
// over gRPC since, and what was acknowledged there stands. Says so where they differ.
bool IsStoredAlready(const control::Op& op, const control::StoredState& stored) {
  const auto note = [](const char* kind, const std::string& name, bool is_same) {
    if (is_same) return true;
    spdlog::warn(
        "{} {}: as it was stored, not as the arguments say; change it over gRPC, or remove "
        "it there before the next start",
        kind, name);
    return true;
  };
  if (const auto* put = std::get_if<control::PutPool>(&op.op)) {
    for (const auto& pool : stored.pools) {
      if (pool->spec.name == put->spec.name) {
        return note("pool", put->spec.name, pool->spec == put->spec);
      }
    }
  } else if (const auto* put_listener = std::get_if<control::PutListener>(&op.op)) {
    for (const auto& listener : stored.listeners) {
      if (listener->spec.name == put_listener->spec.name) {
        return note("listener", listener->spec.name, listener->spec == put_listener->spec);
      }
    }
  }
  return false;
}

}  // namespace

absl::StatusOr<std::unique_ptr<Server>> Server::Start(const Options& options) {
  std::unique_ptr<Server> server(new Server(options));
  if (absl::Status status = server->StartParts(); !status.ok()) return status;
  return server;
}

Server::~Server() { Stop(); }

absl::Status Server::StartParts() {
  auto rpc = options_.control
                 ? rpc::RpcServer::Open(*options_.control, options_.security)
                 : rpc::RpcServer::OpenDefault(options_.default_sockets, options_.security);
  if (!rpc.ok()) return rpc.status();
  rpc_ = *std::move(rpc);
  if (absl::Status status = OpenStatusSocket(); !status.ok()) return status;

  store::SqliteStore::Opened store;
  if (!options_.state_dir.empty()) {
    auto opened = store::SqliteStore::Open(options_.state_dir, absl::Now());
    if (!opened.ok()) return opened.status();
    store = *std::move(opened);
    spdlog::info("state: {}", options_.state_dir);
    for (const control::Condition& condition : store.state->conditions) {
      spdlog::error("{}: {}", condition.code, condition.detail);
    }
  }

  providers::RingOptions ring;
  if (options_.resolver) ring.dns.servers = {*options_.resolver};
  auto controller = control::Controller::Start({.shards = options_.shards,
                                                .max_connections = options_.max_connections,
                                                .busy_poll = options_.busy_poll,
                                                .make_provider = providers::MakeRingProvider(ring),
                                                .store = store.store,
                                                .stored = store.state});
  if (!controller.ok()) return controller.status();
  controller_ = *std::move(controller);
  LogLimits();
  if (options_.bind) {
    const control::StoredState none;
    const absl::Status status = ApplyStandalone(store.state == nullptr ? none : *store.state);
    if (!status.ok()) return status;
  }
  if (!options_.config_file.empty()) {
    if (absl::Status status = ApplyConfig(); !status.ok()) return status;
  }
  LogListeners();

  RaiseNice();
  absl::Status status =
      rpc_->Start(controller_.get(), SIDELB_VERSION, GetInfo(controller_.get()).epoch, &shutdown_);
  if (!status.ok()) return status;
  LogEndpoint();
  if (status_ != nullptr) {
    status_->Start(controller_.get());
    spdlog::info("status socket: {}", status_->path());
  }
  return absl::OkStatus();
}

absl::Status Server::OpenStatusSocket() {
  switch (options_.status_place) {
    case StatusPlace::kNowhere:
      return absl::OkStatus();
    case StatusPlace::kDefault: {
      const rpc::Endpoint& control = rpc_->endpoint();
      status_ = StatusSocket::OpenDefault(
          StatusSocketPaths(control.kind == rpc::Endpoint::Kind::kUnix ? control.path : ""));
      return absl::OkStatus();
    }
    case StatusPlace::kPath: {
      auto status = StatusSocket::Open(options_.status_path);
      if (!status.ok()) return status.status();
      status_ = *std::move(status);
      return absl::OkStatus();
    }
  }
  return absl::OkStatus();
}

absl::Status Server::ApplyStandalone(const control::StoredState& stored) {
  control::ApplyRequest request =
      providers::MakeStaticRequest({.bind = *options_.bind,
                                    .mode = options_.mode,
                                    .protocol = options_.protocol,
                                    .backends = options_.backends,
                                    .ring_domains = options_.ring_domains,
                                    .group_by_ip = options_.group_by_ip});
  request.wait_timeout = kStartWait;
  std::erase_if(request.ops,
                [&stored](const control::Op& op) { return IsStoredAlready(op, stored); });
  const absl::Status status = Apply(controller_.get(), std::move(request)).status();
  // Who starts the daemon wrote arguments, no ops: without the path of the field.
  const auto details = control::GetErrorDetails(status);
  if (!details.has_value() || details->violations.empty()) return status;
  return absl::Status(status.code(), details->violations.front().description);
}

absl::Status Server::ApplyConfig() {
  const std::string& file = options_.config_file;
  const absl::StatusOr<std::string> text = ReadConfigFile(file);
  if (!text.ok()) return text.status();
  absl::StatusOr<Config> config = ParseConfig(file, *text, config_names_);
  if (!config.ok()) return config.status();
  control::ApplyRequest request = config->request;
  request.wait_timeout = kStartWait;
  const auto applied = Apply(controller_.get(), std::move(request));
  if (!applied.ok()) return InWordsOfFile(file, *config, applied.status());
  config_names_ = config->names;
  // Before the log says it: who reads the line may look at once.
  controller_->SetCondition("CONFIG_REJECTED", std::nullopt);
  spdlog::info("{}: {} listeners, {} pools, {} backends of its own", file,
               config->names.listeners.size(), config->names.pools.size(), config->backends);
  if (config->overrides_left_out > 0) {
    spdlog::warn("{}: {} overrides are left out; they are set over the control endpoint", file,
                 config->overrides_left_out);
  }
  return absl::OkStatus();
}

void Server::Reload() {
  if (const absl::Status roles = rpc_->Reload(); roles.ok()) {
    controller_->SetCondition("ROLES_REJECTED", std::nullopt);
  } else {
    controller_->SetCondition("ROLES_REJECTED", std::string(roles.message()));
    spdlog::error("{}; the roles of before stay in use", std::string(roles.message()));
  }
  if (options_.config_file.empty()) {
    if (!options_.security.tls && options_.security.roles.empty()) {
      spdlog::warn("SIGHUP: there is no --config, --roles or --tls-cert to read again");
    }
    return;
  }
  const absl::Status status = ApplyConfig();
  if (status.ok()) return;
  controller_->SetCondition("CONFIG_REJECTED", std::string(status.message()));
  spdlog::error("nothing was changed: {}", std::string(status.message()));
}

void Server::LogLimits() const {
  const uint64_t cap = GetInfo(controller_.get()).max_connections;
  rlimit limit{};
  getrlimit(RLIMIT_NOFILE, &limit);
  const rlim_t most = std::min(limit.rlim_max, kMostDescriptors);
  std::string advice;
  if (limit.rlim_cur < most) {
    advice = fmt::format("; for more, start it after `ulimit -n {}`", most);
  } else if (limit.rlim_cur < kMostDescriptors) {
    advice = "; for more, raise the hard limit of descriptors (LimitNOFILE in systemd)";
  }
  spdlog::info("shards: {}; at most {} connections at a time with {} descriptors{}",
               options_.shards, cap, limit.rlim_cur, advice);
  const double needed = static_cast<double>(cap) / kSessionsPerDescriptor;
  if (needed > static_cast<double>(limit.rlim_cur)) {
    spdlog::warn("--max-connections {} needs about {:.0f} descriptors, the limit is {}{}", cap,
                 needed, limit.rlim_cur, advice);
  }
}

void Server::LogListeners() const {
  std::promise<absl::StatusOr<std::shared_ptr<const control::StateView>>> promise;
  controller_->GetState({.with_backends = false}, 0, absl::Now() + kStartWait,
                        [&promise](auto state) { promise.set_value(std::move(state)); });
  const auto state = promise.get_future().get();
  if (!state.ok()) return;
  if ((*state)->listeners.empty()) {
    spdlog::info("no address to listen on was given; listeners come over the control endpoint");
  }
  for (const auto& listener : (*state)->listeners) {
    if (!listener.status.is_bound) continue;
    const auto& pools = (*state)->pools;
    const auto pool = std::find_if(pools.begin(), pools.end(), [&](const auto& entry) {
      return entry.object->spec.name == listener.object->spec.pool;
    });
    if (pool == pools.end()) continue;
    std::string more = pool->object->spec.group_by_ip ? ", grouped by IP" : "";
    for (const control::RingDomainSpec& domain : pool->object->spec.ring_domains) {
      more += fmt::format(", ring domain {}:{}", domain.domain, domain.port);
    }
    const bool is_udp = listener.object->spec.protocol == control::Protocol::kUdp;
    spdlog::info("listening on {} ({}, {}, {} backends{})",
                 listener.status.bound_address.ToString(), is_udp ? "udp" : "tcp",
                 ModeName(control::EffectiveMode(pool->object->spec)), pool->status.total, more);
  }
}

void Server::LogEndpoint() const {
  const rpc::Endpoint& endpoint = rpc_->endpoint();
  const bool has_clients_checked =
      options_.security.tls && !options_.security.tls->client_ca.empty();
  spdlog::info("control endpoint: {}{}", endpoint.ToString(),
               has_clients_checked     ? " (TLS, clients need a certificate)"
               : options_.security.tls ? " (TLS)"
                                       : "");
  if (!endpoint.is_local() && !options_.security.tls) {
    spdlog::warn("control endpoint: whoever reaches {} {}, and what is said can be read on the way",
                 endpoint.ToString(),
                 options_.security.roles.empty() ? "may change everything" : "is anonymous");
  }
}

void Server::Drain() {
  shutdown_.TurnOn(std::nullopt, absl::Now());
  const absl::Duration drain_timeout = shutdown_.drain_timeout();
  rpc_->SetNotServing();
  if (status_ != nullptr) status_->SetNotServing();
  if (options_.drain_delay > absl::ZeroDuration()) {
    spdlog::info("health says NOT_SERVING; draining begins in {}",
                 absl::FormatDuration(options_.drain_delay));
    absl::SleepFor(options_.drain_delay);
  }
  spdlog::info("draining: {} connections may end within {}",
               GetInfo(controller_.get()).active_connections, absl::FormatDuration(drain_timeout));
  std::promise<uint64_t> promise;
  controller_->Drain(drain_timeout,
                     [&promise](uint64_t sessions_left) { promise.set_value(sessions_left); });
  if (const uint64_t left = promise.get_future().get(); left > 0) {
    spdlog::warn("the time to drain is over: {} connections are reset", left);
  } else {
    spdlog::info("drained");
  }
}

void Server::Stop() {
  if (status_ != nullptr) status_->Stop();
  if (rpc_ != nullptr) rpc_->Stop();
  if (controller_ != nullptr) controller_->Stop();
}

}  // namespace sidelb::server
