// TimerWheel: deadlines of many sessions, coarse and cheap: Schedule() and Cancel() are O(1), no
// system call and no allocation. Four levels of 64 slots in ticks of 20 ms (1.3 s, 82 s, 87 min,
// 93 h); a timer fires at or up to one tick after its deadline, never before.
//
// Pure: `now` is an argument, in milliseconds of any monotonic clock. Thread safety: none; the
// shard's thread. Ownership: holds targets by their hooks; a target that dies cancels itself.
// See Varghese and Lauck, "Hashed and Hierarchical Timing Wheels", 1987.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <utility>

#include "dataplane/base/intrusive_list.h"

namespace sidelb {

class TimerTarget {
 public:
  virtual ~TimerTarget() = default;
  // The deadline has passed; the timer is not scheduled any more.
  virtual void OnTimer() = 0;
  bool is_scheduled() const { return hook_.is_linked(); }

 private:
  friend class TimerWheel;
  ListHook hook_;
  uint64_t deadline_tick_ = 0;
};

class TimerWheel {
 public:
  static constexpr uint64_t kTickMs = 20;

  explicit TimerWheel(uint64_t now_ms) : current_tick_(now_ms / kTickMs) {}
  TimerWheel(const TimerWheel&) = delete;
  TimerWheel& operator=(const TimerWheel&) = delete;

  // (Re)schedules `target`. A deadline in the past fires at the next Advance().
  void Schedule(TimerTarget* target, uint64_t deadline_ms);
  void Cancel(TimerTarget* target) { target->hook_.Unlink(); }

  // Calls OnTimer() of every target whose deadline is at or before `now_ms`. Targets may schedule
  // and cancel any timer meanwhile.
  void Advance(uint64_t now_ms);

  // When Advance() is due next, in milliseconds; nullopt when nothing is scheduled. It may be
  // earlier than the first deadline (when an outer level has to be spread over an inner one).
  std::optional<uint64_t> NextWakeMs() const;

  // The earliest deadline scheduled since the last call, in milliseconds; UINT64_MAX for none.
  // Cheap: a shard asks after each turn whether its system timer has to be moved forward.
  uint64_t TakeEarliestNewMs() { return std::exchange(earliest_new_ms_, UINT64_MAX); }

 private:
  static constexpr int kLevels = 4;
  static constexpr int kSlotBits = 6;
  static constexpr uint64_t kSlots = 1 << kSlotBits;
  using List = IntrusiveList<TimerTarget, &TimerTarget::hook_>;

  void Place(TimerTarget* target);

  uint64_t earliest_new_ms_ = UINT64_MAX;
  uint64_t current_tick_;  // every slot before it is empty
  List slots_[kLevels][kSlots];
};

}  // namespace sidelb
