// What the tests of the control endpoint share: a folder for sockets, a control plane with its
// endpoint in this process, and a client that unpacks error details.
#pragma once

#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <memory>
#include <string>

#include "google/rpc/error_details.pb.h"
#include "server/control/controller.h"
#include "server/rpc/rpc_server.h"
#include "sidelb/v1/control.grpc.pb.h"

namespace sidelb::rpc {

namespace pb = sidelb::v1;

// A folder that goes with its object; its path is short enough for sockets.
class TempFolder {
 public:
  TempFolder() {
    char path[] = "/tmp/sidelb-rpc.XXXXXX";
    if (mkdtemp(path) == nullptr) std::abort();
    path_ = path;
  }
  ~TempFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  TempFolder(const TempFolder&) = delete;
  TempFolder& operator=(const TempFolder&) = delete;

  std::string operator/(const std::string& name) const { return path_ + "/" + name; }

 private:
  std::string path_;
};

inline Endpoint UnixEndpoint(const std::string& path) {
  return {.kind = Endpoint::Kind::kUnix, .path = path};
}

// The details of an error, unpacked.
struct Details {
  std::string reason;
  std::string domain;
  std::map<std::string, std::string> metadata;
  std::map<std::string, std::string> violations;  // field -> description
  bool has_retry = false;
};

inline Details DetailsOf(const grpc::Status& status) {
  Details details;
  google::rpc::Status rich;
  EXPECT_TRUE(rich.ParseFromString(status.error_details()));
  for (const auto& any : rich.details()) {
    google::rpc::ErrorInfo info;
    google::rpc::BadRequest bad;
    if (any.UnpackTo(&info)) {
      details.reason = info.reason();
      details.domain = info.domain();
      details.metadata.insert(info.metadata().begin(), info.metadata().end());
    } else if (any.UnpackTo(&bad)) {
      for (const auto& one : bad.field_violations()) {
        details.violations[one.field()] = one.description();
      }
    }
    details.has_retry |= any.Is<google::rpc::RetryInfo>();
  }
  return details;
}

// A connection of its own to an endpoint.
class TestClient {
 public:
  explicit TestClient(const Endpoint& endpoint) {
    grpc::ChannelArguments arguments;
    arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
    arguments.SetInt(GRPC_ARG_ENABLE_RETRIES, 0);
    channel_ = grpc::CreateCustomChannel(endpoint.ToString(), grpc::InsecureChannelCredentials(),
                                         arguments);
    stub_ = pb::ControlService::NewStub(channel_);
  }

  pb::ControlService::Stub& stub() { return *stub_; }
  const std::shared_ptr<grpc::Channel>& channel() const { return channel_; }

  grpc::Status Apply(const pb::ApplyRequest& request, pb::ApplyResponse* response,
                     std::chrono::milliseconds limit = kLimit) {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + limit);
    return stub_->Apply(&context, request, response);
  }
  grpc::Status Apply(const pb::ApplyRequest& request) {
    pb::ApplyResponse response;
    return Apply(request, &response);
  }
  grpc::Status GetState(const pb::GetStateRequest& request, pb::GetStateResponse* response,
                        std::chrono::milliseconds limit = kLimit) {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + limit);
    return stub_->GetState(&context, request, response);
  }
  pb::GetStateResponse State() {
    pb::GetStateResponse response;
    const grpc::Status status = GetState(pb::GetStateRequest(), &response);
    EXPECT_TRUE(status.ok()) << status.error_message();
    return response;
  }
  grpc::Status GetInfo(pb::GetInfoResponse* response) {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + kLimit);
    context.set_wait_for_ready(true);
    return stub_->GetInfo(&context, pb::GetInfoRequest(), response);
  }
  bool IsServed() {
    pb::GetInfoResponse response;
    return GetInfo(&response).ok();
  }

  static constexpr std::chrono::seconds kLimit{30};

 private:
  std::shared_ptr<grpc::Channel> channel_;
  std::unique_ptr<pb::ControlService::Stub> stub_;
};

// Control plane, shards and endpoint. Any step that fails ends the test program.
class ControlDaemon {
 public:
  explicit ControlDaemon(const Endpoint& endpoint, size_t shards = 1) {
    controller_ = *control::Controller::Start({.shards = shards});
    rpc_ = *RpcServer::Open(endpoint);
    const absl::Status status = rpc_->Start(controller_.get(), "1.2.3", "epoch-1");
    EXPECT_TRUE(status.ok()) << status;
  }

  control::Controller& controller() { return *controller_; }
  RpcServer& rpc() { return *rpc_; }

 private:
  std::unique_ptr<control::Controller> controller_;
  std::unique_ptr<RpcServer> rpc_;  // ends before the controller
};

}  // namespace sidelb::rpc
