// AuditLog: the last writes, rejected ones too. A store keeps the same ones over restarts; each is
// also a line of the log.
//
// Thread safety: the control thread. Ownership: the ControlLoop.
#pragma once

#include <deque>
#include <string>

#include "server/control/model.h"

namespace sidelb::control {

class AuditLog {
 public:
  static constexpr size_t kMaxKept = 1'000;

  uint64_t TakeNumber() { return next_number_++; }
  // In the order of numbers, whatever order they come in.
  void Add(AuditEntry entry);
  // The lowest number that is kept.
  uint64_t oldest() const { return entries_.empty() ? next_number_ : entries_.front().number; }
  AuditPage List(const AuditQuery& query) const;

 private:
  std::deque<AuditEntry> entries_;
  uint64_t next_number_ = 1;
};

// One JSON object without a line break.
std::string AuditLine(const AuditEntry& entry);

}  // namespace sidelb::control
