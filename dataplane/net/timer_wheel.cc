#include "dataplane/net/timer_wheel.h"

#include <algorithm>

namespace sidelb {

void TimerWheel::Schedule(TimerTarget* target, uint64_t deadline_ms) {
  target->hook_.Unlink();
  // Rounded up, so that it never fires early; at the earliest at the next tick.
  const uint64_t tick = deadline_ms / kTickMs + (deadline_ms % kTickMs != 0 ? 1 : 0);
  target->deadline_tick_ = std::max(std::min(tick, UINT64_MAX / kTickMs), current_tick_ + 1);
  earliest_new_ms_ = std::min(earliest_new_ms_, target->deadline_tick_ * kTickMs);
  Place(target);
}

void TimerWheel::Place(TimerTarget* target) {
  // The level is where the deadline first differs from now in its slot number; so a slot of level
  // n is spread exactly when the time reaches its first tick. The outermost level has no number
  // above it: there the slots are those of the next kSlots - 1 turns of the level below.
  const uint64_t difference = target->deadline_tick_ ^ current_tick_;
  int level = 0;
  while (level < kLevels - 1 && (difference >> (kSlotBits * (level + 1))) != 0) ++level;
  const uint64_t position = current_tick_ >> (kSlotBits * level);
  // Beyond the wheel: the slot that is reached last; it is placed anew from there.
  const uint64_t turn =
      std::min(target->deadline_tick_ >> (kSlotBits * level), position + kSlots - 1);
  const uint64_t slot = turn & (kSlots - 1);
  slots_[level][slot].PushBack(target);
}

void TimerWheel::Advance(uint64_t now_ms) {
  const uint64_t now_tick = now_ms / kTickMs;
  while (current_tick_ < now_tick) {
    const std::optional<uint64_t> wake = NextWakeMs();
    if (!wake.has_value() || *wake / kTickMs > now_tick) {
      current_tick_ = now_tick;
      return;
    }
    current_tick_ = *wake / kTickMs;
    // Spread the outer slots that begin at this tick, the outermost first.
    for (int level = kLevels - 1; level > 0; --level) {
      if ((current_tick_ & ((uint64_t{1} << (kSlotBits * level)) - 1)) != 0) continue;
      List spread;
      spread.TakeAll(&slots_[level][(current_tick_ >> (kSlotBits * level)) & (kSlots - 1)]);
      while (TimerTarget* target = spread.PopFront()) Place(target);
    }
    List due;
    due.TakeAll(&slots_[0][current_tick_ & (kSlots - 1)]);
    while (TimerTarget* target = due.PopFront()) target->OnTimer();
  }
}

std::optional<uint64_t> TimerWheel::NextWakeMs() const {
  std::optional<uint64_t> next;
  for (int level = 0; level < kLevels; ++level) {
    const uint64_t position = current_tick_ >> (kSlotBits * level);
    for (uint64_t ahead = 1; ahead <= kSlots; ++ahead) {
      if (slots_[level][(position + ahead) & (kSlots - 1)].empty()) continue;
      const uint64_t tick = (position + ahead) << (kSlotBits * level);
      if (!next.has_value() || tick < *next) next = tick;
      break;
    }
  }
  if (next.has_value()) *next *= kTickMs;
  return next;
}

}  // namespace sidelb
