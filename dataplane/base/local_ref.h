// LocalRef: a shared pointer whose count belongs to one thread, so that it costs no atomic
// operation. T derives from LocalRefCounted.
//
// Thread safety: all references to one object stay on one thread.
#pragma once

#include <cstdint>
#include <utility>

namespace sidelb {

class LocalRefCounted {
 private:
  template <typename T>
  friend class LocalRef;
  uint32_t references_ = 0;
};

template <typename T>
class LocalRef {
 public:
  LocalRef() = default;
  explicit LocalRef(T* object) : object_(object) { ++object_->references_; }
  LocalRef(const LocalRef& other) : object_(other.object_) {
    if (object_ != nullptr) ++object_->references_;
  }
  LocalRef(LocalRef&& other) noexcept : object_(std::exchange(other.object_, nullptr)) {}
  LocalRef& operator=(LocalRef other) noexcept {
    std::swap(object_, other.object_);
    return *this;
  }
  ~LocalRef() {
    if (object_ != nullptr && --object_->references_ == 0) delete object_;
  }

  T* operator->() const { return object_; }
  T& operator*() const { return *object_; }
  explicit operator bool() const { return object_ != nullptr; }

 private:
  T* object_ = nullptr;
};

}  // namespace sidelb
