// RequestLog: the answers to requests that bore a request_id, so that a repetition gets the same
// answer. Keeps each for 10 minutes, and at most kMaxKept.
//
// Pure: time is an argument. Thread safety: the control thread. Ownership: the ControlLoop.
#pragma once

#include <deque>
#include <set>
#include <string>
#include <string_view>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/time/time.h"
#include "server/control/store.h"

namespace sidelb::control {

class RequestLog {
 public:
  static constexpr absl::Duration kKept = absl::Minutes(10);
  static constexpr size_t kMaxKept = 20'000;

  struct Entry {
    StoredRequest request;
    std::set<BackendKey> leaving;  // what a wait for DRAINED is for; not stored
  };

  // nullptr when there is none, or none any more. Valid until the next call that is not const.
  const Entry* Find(const std::string& id, absl::Time now);
  // REQUIRES: the number is higher than any before; the id is not there.
  void Add(Entry entry, absl::Time now);

  uint64_t TakeNumber() { return next_number_++; }
  // The lowest number that is kept.
  uint64_t oldest() const {
    return entries_.empty() ? next_number_ : entries_.front().request.number;
  }
  size_t size() const { return entries_.size(); }

 private:
  void Expire(absl::Time now);

  std::deque<Entry> entries_;  // by number
  absl::flat_hash_map<std::string, Entry*> by_id_;
  uint64_t next_number_ = 1;
};

// INVALID_ARGUMENT (BAD_FIELD) for what is no request_id: at most 64 printable ASCII characters.
absl::Status ValidateRequestId(std::string_view id);
// INVALID_ARGUMENT (REQUEST_ID_REUSED): `id` stood for something else.
absl::Status RequestIdReused(std::string_view id);

}  // namespace sidelb::control
