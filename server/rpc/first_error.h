// FirstError: keeps the first error of several conversions, so that a message can be converted
// field by field and judged once at its end.
//
// Thread safety: a local value of one thread.
#pragma once

#include <utility>

#include "absl/status/statusor.h"

namespace sidelb::rpc {

class FirstError {
 public:
  // The value, or T() when there is none; then the error is kept if it is the first.
  template <typename T>
  T Take(absl::StatusOr<T> result) {
    if (result.ok()) return *std::move(result);
    status_.Update(std::move(result).status());
    return T();
  }
  void Add(absl::Status status) { status_.Update(std::move(status)); }

  bool ok() const { return status_.ok(); }
  const absl::Status& status() const { return status_; }

  // `value` if all went well.
  template <typename T>
  absl::StatusOr<T> Result(T value) const {
    if (!status_.ok()) return status_;
    return value;
  }

 private:
  absl::Status status_;
};

}  // namespace sidelb::rpc
