// Follower: a Watch that lasts. It opens the next stream when one breaks, resumes where the last
// one ended, keeps the view, and proves it against the digest of every heartbeat; a view that is
// wrong is fetched anew.
//
//   Follower follower(request, {.open = [&](const auto& r) { return client.Watch(r); }});
//   while (true) {
//     const Follower::Step step = follower.Next(absl::InfiniteFuture());
//     if (step.kind == Follower::Step::Kind::kMessage) Use(step.changes, follower.view());
//     if (step.kind == Follower::Step::Kind::kFailed) return step.status;
//   }
//
// Thread safety: Next() and view() by one thread; Cancel() by any thread at any time. Other threads
// may read the view while they hold `view_mutex`.
// Ownership: what `open` uses and `view_mutex` must outlive it.
#pragma once

#include <functional>
#include <memory>
#include <mutex>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "client/watch_stream.h"
#include "client/watch_view.h"

namespace sidelb::client {

class Follower {
 public:
  struct Options {
    std::function<absl::StatusOr<std::unique_ptr<WatchStream>>(const pb::WatchRequest&)> open;
    // Waits between attempts: the first, doubled each time up to the second, less up to half of it
    // by chance, so that clients of one daemon do not all come back at once.
    absl::Duration min_backoff = absl::Milliseconds(100);
    absl::Duration max_backoff = absl::Seconds(2);
    // Without a message for this many heartbeat intervals the stream counts as broken.
    int silent_heartbeats = 3;
    std::mutex* view_mutex = nullptr;  // held while the view changes; may be nullptr
  };

  struct Step {
    enum class Kind {
      kMessage,    // `message` is in the view, `changes` is what it changed
      kLost,       // the stream ended: `status` says why; the next Next() goes on after `retry_in`
      kDiverged,   // the view did not match the heartbeat in `message`; a snapshot will follow
      kTimeout,    // the deadline passed
      kCancelled,  // after Cancel()
      kFailed,     // for good: the first attempt failed, or the daemon refuses the request
    };
    Kind kind = Kind::kTimeout;
    pb::WatchResponse message;
    std::vector<WatchView::Change> changes;
    bool is_reconnected = false;  // the first message after kLost or kDiverged
    absl::Status status;
    absl::Duration retry_in;
  };

  // `request` may hold a resume token; the heartbeat interval is the daemon's default unless it
  // names one. Does no I/O.
  Follower(pb::WatchRequest request, Options options);
  ~Follower();
  Follower(const Follower&) = delete;
  Follower& operator=(const Follower&) = delete;

  Step Next(absl::Time deadline);
  void Cancel();

  const WatchView& view() const { return view_; }
  // The view's place, or the one of the request while nothing came.
  std::optional<ResumeToken> token() const;

 private:
  absl::Duration Backoff(int attempt) const;
  // False when Cancel() or the deadline came first.
  bool WaitForRetry(absl::Time deadline);
  bool is_cancelled();
  absl::Status Open();
  // Holds the caller's lock on the view, if there is one.
  std::unique_lock<std::mutex> LockView() const;
  void ExpectSnapshot();
  void Close();
  Step Lose(absl::Status status);
  Step Take(pb::WatchResponse message);

  pb::WatchRequest request_;
  const Options options_;
  const absl::Duration silence_;  // after which the stream counts as broken

  WatchView view_;
  bool has_ever_received_ = false;
  bool is_reconnecting_ = false;
  int failures_ = 0;  // in a row
  int divergences_ = 0;
  absl::Time retry_time_ = absl::InfinitePast();
  absl::Time last_message_time_;

  absl::Mutex mutex_;
  bool is_cancelled_ ABSL_GUARDED_BY(mutex_) = false;
  // Replaced only by the thread of Next(), under the mutex.
  std::unique_ptr<WatchStream> stream_;
};

}  // namespace sidelb::client
