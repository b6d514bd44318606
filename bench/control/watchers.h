// Watchers of the control service: many streams in one process, and when the last of them has seen
// a revision.
#pragma once

#include <condition_variable>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "sidelb/v1/control.grpc.pb.h"

namespace sidelb::bench {

namespace pb = sidelb::v1;

class Watchers {
 public:
  // `count` watches of everything, `per_connection` on each connection. Returns when all have read
  // their snapshot.
  Watchers(const std::string& endpoint, int count, int per_connection);
  ~Watchers();

  // When the last watcher had seen `revision`. Fails the program after a minute.
  absl::Time WaitForAll(uint64_t revision);
  uint64_t messages() const;

 private:
  class Watcher;

  void OnSnapshot();
  void OnRevision(Watcher* watcher, uint64_t revision);
  void OnDone();

  mutable std::mutex mutex_;
  std::condition_variable changed_;
  int ready_ = 0, done_ = 0;
  bool is_stopping_ = false;
  uint64_t messages_ = 0;
  std::vector<uint64_t> seen_;     // revision of each watcher
  uint64_t awaited_ = UINT64_MAX;  // revision, and how many have not seen it
  size_t missing_ = 0;
  absl::Time all_seen_;
  std::vector<std::unique_ptr<pb::ControlService::Stub>> stubs_;
  std::vector<std::unique_ptr<Watcher>> watchers_;
};

}  // namespace sidelb::bench
