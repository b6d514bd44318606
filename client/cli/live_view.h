// LiveView: a view that a thread of its own keeps up to date.
//
// Thread safety: all of it by any thread. Locked is the lock on the view: hold it for as long as a
// frame is made, no longer.
// Ownership: what `options` refer to must outlive it; the destructor ends the thread.
#pragma once

#include <condition_variable>
#include <functional>
#include <mutex>
#include <string>
#include <thread>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "client/follower.h"

namespace sidelb::client {

class LiveView {
 public:
  class Locked {
   public:
    explicit Locked(LiveView* live) : lock_(live->mutex_), live_(*live) {}

    const WatchView& view() const { return live_.follower_.view(); }
    // What is wrong with the connection; empty when nothing is.
    const std::string& trouble() const { return live_.trouble_; }
    // Not OK once the stream has failed for good.
    const absl::Status& end() const { return live_.end_; }

   private:
    std::unique_lock<std::mutex> lock_;
    const LiveView& live_;
  };

  // `on_end` is called by the thread when the stream has failed for good or was cancelled.
  LiveView(pb::WatchRequest request, Follower::Options options, std::function<void()> on_end);
  ~LiveView();
  LiveView(const LiveView&) = delete;
  LiveView& operator=(const LiveView&) = delete;

  // Waits for the first whole view. The error is the stream's, CANCELLED after Cancel(), or
  // DEADLINE_EXCEEDED.
  absl::Status WaitUntilComplete(absl::Time deadline);
  void Cancel() { follower_.Cancel(); }

 private:
  void Run();

  const std::function<void()> on_end_;
  std::mutex mutex_;
  std::condition_variable changed_;
  Follower follower_;
  std::string trouble_;
  absl::Status end_;
  std::thread thread_;  // last: it uses all of the above
};

}  // namespace sidelb::client
