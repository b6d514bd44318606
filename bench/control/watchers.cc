#include "bench/control/watchers.h"

#include <grpcpp/grpcpp.h>

#include "absl/time/clock.h"
#include "bench/control/writer.h"
#include "fmt/format.h"

namespace sidelb::bench {

class Watchers::Watcher final : public grpc::ClientReadReactor<pb::WatchResponse> {
 public:
  Watcher(Watchers* all, size_t place, pb::ControlService::Stub* stub) : index(place), all_(all) {
    context_.set_wait_for_ready(true);
    request_.mutable_heartbeat_interval()->set_seconds(3600);
    stub->async()->Watch(&context_, &request_, this);
    StartRead(&message_);
    StartCall();
  }
  void Cancel() { context_.TryCancel(); }

  void OnReadDone(bool ok) override {
    if (!ok) return;
    if (message_.snapshot().last()) all_->OnSnapshot();
    all_->OnRevision(this, message_.revision());
    StartRead(&message_);
  }
  void OnDone(const grpc::Status& status) override {
    {
      const std::lock_guard lock(all_->mutex_);
      if (!all_->is_stopping_) Fail(fmt::format("a watch ended: {}", status.error_message()));
    }
    all_->OnDone();
  }

  const size_t index;

 private:
  Watchers* const all_;
  grpc::ClientContext context_;
  pb::WatchRequest request_;
  pb::WatchResponse message_;
};

Watchers::Watchers(const std::string& endpoint, int count, int per_connection)
    : seen_(static_cast<size_t>(count)) {
  for (int i = 0; i < count; ++i) {
    if (i % per_connection == 0) stubs_.push_back(Connect(endpoint));
    watchers_.push_back(
        std::make_unique<Watcher>(this, static_cast<size_t>(i), stubs_.back().get()));
  }
  std::unique_lock lock(mutex_);
  if (!changed_.wait_for(lock, std::chrono::minutes(1), [&] { return ready_ == count; })) {
    Fail(fmt::format("only {} of {} watches have begun", ready_, count));
  }
}

Watchers::~Watchers() {
  {
    const std::lock_guard lock(mutex_);
    is_stopping_ = true;
  }
  for (const auto& watcher : watchers_) watcher->Cancel();
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] { return done_ == static_cast<int>(watchers_.size()); });
}

void Watchers::OnSnapshot() {
  const std::lock_guard lock(mutex_);
  ++ready_;
  changed_.notify_all();
}

void Watchers::OnDone() {
  const std::lock_guard lock(mutex_);
  ++done_;
  changed_.notify_all();
}

void Watchers::OnRevision(Watcher* watcher, uint64_t revision) {
  const std::lock_guard lock(mutex_);
  ++messages_;
  uint64_t& seen = seen_[watcher->index];
  const bool arrives = seen < awaited_ && revision >= awaited_;
  seen = revision;
  if (!arrives || --missing_ > 0) return;
  all_seen_ = absl::Now();
  changed_.notify_all();
}

absl::Time Watchers::WaitForAll(uint64_t revision) {
  std::unique_lock lock(mutex_);
  awaited_ = revision;
  missing_ = 0;
  for (const uint64_t seen : seen_) missing_ += seen < revision;
  if (missing_ == 0) return absl::Now();
  if (!changed_.wait_for(lock, std::chrono::minutes(1), [&] { return missing_ == 0; })) {
    Fail(fmt::format("{} watches did not see revision {} within a minute", missing_, revision));
  }
  awaited_ = UINT64_MAX;
  return all_seen_;
}

uint64_t Watchers::messages() const {
  const std::lock_guard lock(mutex_);
  return messages_;
}

}  // namespace sidelb::bench
