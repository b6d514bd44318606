// A client of Watch for tests: a stream, and the view that it leads to.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "fmt/format.h"
#include "tests/integration/rpc/control_daemon.h"

namespace sidelb::rpc {

inline pb::ApplyRequest PutPool(const std::string& name) {
  pb::ApplyRequest request;
  auto* pool = request.add_ops()->mutable_put_pool();
  pool->set_name(name);
  pool->mutable_health_check()->set_kind(pb::PROBE_KIND_NONE);
  return request;
}

inline pb::BackendSpec* AddBackend(pb::ApplyRequest* request, const std::string& pool,
                                   const std::string& address) {
  auto* set = request->add_ops()->mutable_upsert_backends();
  set->set_pool(pool);
  auto* backend = set->add_backends();
  backend->set_address(address);
  return backend;
}

inline void RemoveBackend(pb::ApplyRequest* request, const std::string& pool,
                          const std::string& address) {
  auto* remove = request->add_ops()->mutable_remove_backends();
  remove->set_pool(pool);
  remove->add_addresses(address);
}

// The digest as docs/control-api.md gives it, written a second time.
inline uint64_t Fnv(const std::string& text) {
  uint64_t hash = 14695981039346656037u;
  for (const unsigned char c : text) hash = (hash ^ c) * 1099511628211u;
  return hash;
}

// What a client knows by its watch: revisions by "kind/pool/key".
class View {
 public:
  void Apply(const pb::WatchResponse& response) {
    if (response.has_resync()) is_complete_ = false;
    if (response.has_snapshot()) Apply(response.snapshot());
    for (const pb::Event& event : response.events().events()) {
      if (event.kind() == pb::EVENT_KIND_REMOVED) {
        objects_.erase(KeyOf(event));
      } else {
        Put(event);
      }
    }
    epoch = response.epoch();
    position = response.position();
    revision = response.revision();
  }
  uint64_t Digest() const {
    uint64_t digest = 0;
    for (const auto& [key, object] : objects_) {
      if (object.is_configured) digest += Fnv(fmt::format("{}@{}", key, object.revision));
    }
    return digest;
  }
  std::vector<std::string> Keys() const {
    std::vector<std::string> keys;
    for (const auto& [key, object] : objects_) keys.push_back(key);
    return keys;
  }
  bool is_complete() const { return is_complete_; }
  void Clear() { *this = View(); }

  std::string epoch;
  uint64_t position = 0;
  uint64_t revision = 0;

 private:
  struct Object {
    uint64_t revision = 0;
    bool is_configured = true;
  };
  static std::string KeyOf(const pb::Event& event) {
    if (event.has_listener()) return "listener//" + event.listener().name();
    if (event.has_pool()) return "pool//" + event.pool().name();
    return fmt::format("backend/{}/{}", event.backend().pool(), event.backend().address());
  }
  void Put(const pb::Event& event) {
    if (event.has_listener()) objects_[KeyOf(event)] = {event.listener().revision()};
    if (event.has_pool()) objects_[KeyOf(event)] = {event.pool().revision()};
    if (event.has_backend()) {
      objects_[KeyOf(event)] = {event.backend().revision(), event.backend().claims_size() > 0};
    }
  }
  void Apply(const pb::Snapshot& snapshot) {
    if (!in_snapshot_) objects_.clear();
    in_snapshot_ = !snapshot.last();
    if (snapshot.last()) is_complete_ = true;
    pb::Event event;
    for (const auto& listener : snapshot.state().listeners()) {
      *event.mutable_listener() = listener;
      Put(event);
    }
    for (const auto& pool : snapshot.state().pools()) {
      *event.mutable_pool() = pool;
      Put(event);
    }
    for (const auto& backend : snapshot.state().backends()) {
      *event.mutable_backend() = backend;
      Put(event);
    }
  }

  std::map<std::string, Object> objects_;
  bool in_snapshot_ = false;
  bool is_complete_ = false;
};

// One open stream.
class Stream {
 public:
  explicit Stream(TestClient& client, const pb::WatchRequest& request = {}) {
    context_.set_deadline(std::chrono::system_clock::now() + TestClient::kLimit);
    reader_ = client.stub().Watch(&context_, request);
  }
  ~Stream() {
    context_.TryCancel();
    Finish();
  }

  // The next message; nullopt at the end.
  std::optional<pb::WatchResponse> Next() {
    pb::WatchResponse response;
    if (!reader_->Read(&response)) return std::nullopt;
    return response;
  }
  // The next one that is no heartbeat.
  pb::WatchResponse NextChange() {
    while (auto response = Next()) {
      if (!response->has_heartbeat()) return *response;
    }
    return {};
  }
  // Reads into `view` until a heartbeat at or after `revision`, and returns its digest.
  std::optional<uint64_t> ReadUntil(View* view, uint64_t revision) {
    while (auto response = Next()) {
      view->Apply(*response);
      if (response->has_heartbeat() && response->revision() >= revision &&
          response->heartbeat().queued_events() == 0) {
        return response->heartbeat().config_digest();
      }
    }
    return std::nullopt;
  }
  // Whether `view`, once it is at `revision`, has the server's digest.
  bool Converges(View* view, uint64_t revision) {
    const std::optional<uint64_t> digest = ReadUntil(view, revision);
    return digest == view->Digest();
  }
  grpc::Status Finish() {
    if (!is_finished_) {
      is_finished_ = true;
      status_ = reader_->Finish();
    }
    return status_;
  }
  void Cancel() { context_.TryCancel(); }

 private:
  grpc::ClientContext context_;
  std::unique_ptr<grpc::ClientReader<pb::WatchResponse>> reader_;
  bool is_finished_ = false;
  grpc::Status status_;
};

inline pb::WatchRequest EverySecond() {
  pb::WatchRequest request;
  request.mutable_heartbeat_interval()->set_seconds(1);
  return request;
}

inline pb::WatchRequest ResumeFrom(const View& view) {
  pb::WatchRequest request = EverySecond();
  request.set_resume_epoch(view.epoch);
  request.set_resume_position(view.position);
  return request;
}

}  // namespace sidelb::rpc
