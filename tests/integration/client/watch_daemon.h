// WatchDaemon: a control service in this process whose streams the test scripts.
//
// Thread safety: scripts run on gRPC's threads; everything else is for the test's thread.
#pragma once

#include <grpcpp/grpcpp.h>

#include <condition_variable>
#include <deque>
#include <filesystem>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "client/endpoint.h"
#include "google/protobuf/text_format.h"
#include "gtest/gtest.h"
#include "sidelb/v1/control.grpc.pb.h"

namespace sidelb::client {

namespace pb = sidelb::v1;

inline pb::WatchResponse Message(const std::string& text) {
  pb::WatchResponse message;
  EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(text, &message)) << text;
  return message;
}

class WatchDaemon : public pb::ControlService::Service {
 public:
  using Writer = grpc::ServerWriter<pb::WatchResponse>;
  // What one stream does; its end is the stream's.
  using Script = std::function<grpc::Status(const pb::WatchRequest&, Writer*)>;

  WatchDaemon() {
    char name[] = "/tmp/sidelb-watch-XXXXXX";
    folder_ = mkdtemp(name);
    Start();
  }
  ~WatchDaemon() override {
    Stop();
    std::filesystem::remove_all(folder_);
  }

  Endpoint endpoint() const { return {Endpoint::Kind::kUnix, folder_ + "/c.sock"}; }

  void AddStream(Script script) {
    std::lock_guard lock(mutex_);
    scripts_.push_back(std::move(script));
  }
  // A stream that sends these and then stays open.
  void AddStream(std::vector<std::string> messages) {
    AddStream([this, messages](const pb::WatchRequest&, Writer* writer) {
      for (const std::string& text : messages) writer->Write(Message(text));
      WaitForStop();
      return grpc::Status::OK;
    });
  }
  // A stream that sends these and then ends, as when the daemon goes away.
  void AddBreakingStream(std::vector<std::string> messages) {
    AddStream([messages](const pb::WatchRequest&, Writer* writer) {
      for (const std::string& text : messages) writer->Write(Message(text));
      return grpc::Status(grpc::StatusCode::UNAVAILABLE, "going away");
    });
  }
  void WaitForStop() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return is_stopping_; });
  }

  // The request of the stream that was opened as number `index`, once it was.
  pb::WatchRequest Request(size_t index) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return requests_.size() > index; });
    return requests_[index];
  }

  void Stop() {
    {
      std::lock_guard lock(mutex_);
      is_stopping_ = true;
    }
    changed_.notify_all();
    if (server_ != nullptr) server_->Shutdown();
    server_.reset();
  }
  void Start() {
    {
      std::lock_guard lock(mutex_);
      is_stopping_ = false;
    }
    grpc::ServerBuilder builder;
    builder.AddListeningPort(endpoint().ToString(), grpc::InsecureServerCredentials());
    builder.RegisterService(this);
    server_ = builder.BuildAndStart();
    ASSERT_NE(server_, nullptr);
  }

  grpc::Status Watch(grpc::ServerContext*, const pb::WatchRequest* request,
                     Writer* writer) override {
    Script script;
    {
      std::lock_guard lock(mutex_);
      requests_.push_back(*request);
      if (scripts_.empty()) {
        script = [this](const pb::WatchRequest&, Writer*) {
          WaitForStop();
          return grpc::Status::OK;
        };
      } else {
        script = std::move(scripts_.front());
        scripts_.pop_front();
      }
    }
    changed_.notify_all();
    return script(*request, writer);
  }

  std::function<grpc::Status(const pb::GetStateRequest&, pb::GetStateResponse*)> on_get_state;
  std::function<grpc::Status(pb::GetInfoResponse*)> on_get_info;
  std::function<grpc::Status(const pb::GetStatsRequest&, pb::GetStatsResponse*)> on_get_stats;

  grpc::Status GetState(grpc::ServerContext*, const pb::GetStateRequest* request,
                        pb::GetStateResponse* response) override {
    return on_get_state(*request, response);
  }
  grpc::Status GetInfo(grpc::ServerContext*, const pb::GetInfoRequest*,
                       pb::GetInfoResponse* response) override {
    return on_get_info(response);
  }
  grpc::Status GetStats(grpc::ServerContext*, const pb::GetStatsRequest* request,
                        pb::GetStatsResponse* response) override {
    return on_get_stats(*request, response);
  }

 private:
  std::string folder_;
  std::mutex mutex_;
  std::condition_variable changed_;
  bool is_stopping_ = false;
  std::deque<Script> scripts_;
  std::vector<pb::WatchRequest> requests_;
  std::unique_ptr<grpc::Server> server_;
};

}  // namespace sidelb::client
