// EventLog: everything that happened to listeners, pools, backends and leases, in order, for
// watches to follow. There is one log; a watch is a position in it and costs no queue.
//
// Bounds: it keeps kMaxBytes of events (an estimate of the memory that they alone hold), and
// whatever their size, twice as many events as there are objects: one change of everything must not
// throw a watch that keeps up out of the log.
//
// Thread safety: Append() by the control thread; the rest by any thread. Batches are immutable.
// Ownership: the ControlLoop; readers share the batches.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "absl/time/time.h"
#include "server/control/model.h"

namespace sidelb::control {

// What became of one object. No `before`: it is new. No object in `after`: it is gone.
struct ListenerEvent {
  std::shared_ptr<const ListenerObject> before;
  StateView::ListenerEntry after;
};
struct PoolEvent {
  std::shared_ptr<const PoolObject> before;
  StateView::PoolEntry after;
};
struct BackendEvent {
  std::shared_ptr<const BackendObject> before;
  BackendState state_before = BackendState::kWarming;
  StateView::BackendEntry after;
};

struct LeaseEvent {
  std::shared_ptr<const Lease> before;
  std::shared_ptr<const Lease> after;
};

struct Event {
  uint64_t position = 0;
  std::variant<ListenerEvent, PoolEvent, BackendEvent, LeaseEvent> what;
};

// What happened at one moment: the events of one Apply, or changes that were observed together.
struct EventBatch {
  std::vector<Event> events;  // never empty; positions without gaps
  uint64_t revision = 0;      // of the configuration after it
  std::string actor;          // owner of the Apply; empty for what was observed
  absl::Time time;

  uint64_t last_position() const { return events.back().position; }
};

// Where a watch begins.
struct Subscription {
  uint64_t position = 0;
  uint64_t revision = 0;
  uint64_t digest = 0;  // of the selected configuration; 0 when the filter depends on state
  std::shared_ptr<const StateView> view;  // null unless it was asked for
};

class EventLog {
 public:
  using Batches = std::vector<std::shared_ptr<const EventBatch>>;
  static constexpr size_t kMaxBytes = 16 << 20;

  explicit EventLog(size_t max_bytes = kMaxBytes) : max_bytes_(max_bytes) {}

  // Numbers the events. `object_count`: how many objects there are now.
  void Append(EventBatch batch, size_t object_count);
  // Called after each Append(), on the control thread; must be quick. Null ends it: it does not run
  // any more when this returns.
  void SetObserver(std::function<void()> observer);

  // The position of the last event, 0 before the first.
  uint64_t head() const;
  // The lowest position to resume from: all events after it are kept.
  uint64_t oldest() const;
  // The batches with events after `position`, in order; the first may begin before it. At most
  // `max_events`, but one batch at least. nullopt when `position` has fallen off, or was never
  // reached.
  std::optional<Batches> Read(uint64_t position, size_t max_events) const;

  size_t bytes() const;

 private:
  struct Kept {
    std::shared_ptr<const EventBatch> batch;
    size_t bytes = 0;
  };

  const size_t max_bytes_;
  std::mutex observer_mutex_;
  std::function<void()> observer_;  // guarded by observer_mutex_
  mutable std::mutex mutex_;        // guards what follows
  std::deque<Kept> batches_;
  size_t bytes_ = 0;
  size_t events_ = 0;
  uint64_t head_ = 0;
};

}  // namespace sidelb::control
