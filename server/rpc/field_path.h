// FieldPath: where in a request a value stands, as "ops[3].upsert_backends.backends[17].weight".
// A chain of stack objects, so that a good request pays nothing for it; the text is made on error.
//
// Thread safety: a value. Each path points to its parent, which must outlive it: name every step
// that is kept.
#pragma once

#include <string>
#include <string_view>

#include "fmt/format.h"

namespace sidelb::rpc {

class FieldPath {
 public:
  // The request itself; its text is "".
  FieldPath() = default;

  FieldPath Field(std::string_view name) const { return FieldPath(this, name, -1); }
  FieldPath Field(std::string_view name, int index) const { return FieldPath(this, name, index); }

  std::string ToString() const {
    if (parent_ == nullptr) return "";
    std::string text = parent_->ToString();
    if (!text.empty()) text += '.';
    text += name_;
    if (index_ >= 0) text += fmt::format("[{}]", index_);
    return text;
  }

 private:
  FieldPath(const FieldPath* parent, std::string_view name, int index)
      : parent_(parent), name_(name), index_(index) {}

  const FieldPath* parent_ = nullptr;
  std::string_view name_;
  int index_ = -1;
};

}  // namespace sidelb::rpc
