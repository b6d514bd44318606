// EventWindow: a stretch of the event log as one watch sees it: per object only what became of it
// in the end, and only what the watch selects.
//
// Pure. Thread safety: any thread, on batches of the log.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "absl/functional/function_ref.h"
#include "server/control/event_log.h"
#include "server/control/object_filter.h"

namespace sidelb::control {

struct WindowChange {
  const Event* event = nullptr;  // the last one of this object in the window
  bool is_removed = false;       // from the view: gone, or not selected any more
};

struct EventWindow {
  // In the order of their positions. They point into the batches.
  std::vector<WindowChange> changes;
  uint64_t end = 0;                  // the view's position after it
  uint64_t revision = 0;             // and its revision
  uint64_t digest_change = 0;        // what to add to the digest of the view
  bool is_split = false;             // it ends within a batch: the rest is to follow
  const EventBatch* only = nullptr;  // when the changes are of one batch alone
  absl::Time time;                   // of the last batch
};

// The window after `position`, at most up to `last_position`, which must end a batch, and as long
// as `max_bytes` allow by `size_of`, which is asked for each event that may be sent; one event at
// least. `is_config_only`: as the view CONFIG, where status does not count and backends without a
// claim are gone. REQUIRES: `batches` were read at `position` and are not empty.
EventWindow MakeWindow(const EventLog::Batches& batches, uint64_t position, uint64_t last_position,
                       const ObjectFilter& filter, bool is_config_only, size_t max_bytes,
                       absl::FunctionRef<size_t(const Event&)> size_of);

}  // namespace sidelb::control
