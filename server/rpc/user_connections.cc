#include "server/rpc/user_connections.h"

#include <grpcpp/security/auth_metadata_processor.h>
#include <grpcpp/security/server_credentials.h>
#include <unistd.h>

#include <atomic>
#include <charconv>
#include <mutex>
#include <string>
#include <utility>

#include "server/rpc/limits.h"

namespace sidelb::rpc {
namespace {

constexpr char kUidProperty[] = "sidelb_uid";

// A connection has one authentication context, calls on it run at the same time, and gRPC guards
// the list of properties by nothing.
std::mutex& ContextMutex() {
  static std::mutex mutex;
  return mutex;
}

// Marks a connection at its first call, before the call reaches the service.
class Marker final : public grpc::AuthMetadataProcessor {
 public:
  bool IsBlocking() const override { return false; }

  void set_uid(uint32_t uid) { uid_ = uid; }

  grpc::Status Process(const InputMetadata&, grpc::AuthContext* context, OutputMetadata*,
                       OutputMetadata*) override {
    const std::lock_guard lock(ContextMutex());
    if (context->FindPropertyValues(kUidProperty).empty()) {
      context->AddProperty(kUidProperty, std::to_string(uid_));
    }
    return grpc::Status::OK;
  }

 private:
  std::atomic<uint32_t> uid_{0};  // set before the first connection comes
};

}  // namespace

class UserConnections::Door {
 public:
  explicit Door(grpc::ServerBuilder* builder) : marker_(std::make_shared<Marker>()) {
    // No bytes on the wire, so that clients need no credentials; only it can have a processor.
    const auto credentials = grpc::experimental::LocalServerCredentials(UDS);
    credentials->SetAuthMetadataProcessor(marker_);
    acceptor_ = builder->experimental().AddExternalConnectionAcceptor(
        grpc::ServerBuilder::experimental_type::ExternalConnectionType::FROM_FD, credentials);
  }

  void GiveTo(uint32_t uid) {
    uid_ = uid;
    marker_->set_uid(uid);
  }
  uint32_t uid() const { return uid_; }

  void Hand(UniqueFd connection) {
    grpc::experimental::ExternalConnectionAcceptor::NewConnectionParameters parameters;
    parameters.fd = connection.Release();
    acceptor_->HandleNewConnection(&parameters);
  }

 private:
  const std::shared_ptr<Marker> marker_;
  std::unique_ptr<grpc::experimental::ExternalConnectionAcceptor> acceptor_;
  uint32_t uid_ = 0;
};

UserConnections::UserConnections(grpc::ServerBuilder* builder) {
  for (size_t i = 0; i < kMaxUsers; ++i) doors_.push_back(std::make_unique<Door>(builder));
  doors_[used_++]->GiveTo(0);
  if (geteuid() != 0) doors_[used_++]->GiveTo(geteuid());
}

UserConnections::~UserConnections() = default;

bool UserConnections::Hand(UniqueFd connection, uint32_t uid) {
  for (size_t i = 0; i < used_; ++i) {
    if (doors_[i]->uid() != uid) continue;
    doors_[i]->Hand(std::move(connection));
    return true;
  }
  if (used_ == doors_.size()) return false;
  Door& door = *doors_[used_++];
  door.GiveTo(uid);
  door.Hand(std::move(connection));
  return true;
}

std::optional<uint32_t> UserOf(const grpc::AuthContext& context) {
  const std::lock_guard lock(ContextMutex());
  const std::vector<grpc::string_ref> values = context.FindPropertyValues(kUidProperty);
  if (values.empty()) return std::nullopt;
  uint32_t uid = 0;
  const auto [end, error] = std::from_chars(values.front().begin(), values.front().end(), uid);
  if (error != std::errc() || end != values.front().end()) return std::nullopt;
  return uid;
}

}  // namespace sidelb::rpc
