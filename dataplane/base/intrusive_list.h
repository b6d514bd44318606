// IntrusiveList: a doubly linked list through hooks inside its elements; nothing is allocated.
//
// Thread safety: none; the thread that owns the list. An element owns its hook, the list owns
// nothing. A hook unlinks itself in O(1) without knowing its list.
#pragma once

namespace sidelb {

class ListHook {
 public:
  ListHook() = default;
  ListHook(const ListHook&) = delete;
  ListHook& operator=(const ListHook&) = delete;
  ~ListHook() { Unlink(); }

  bool is_linked() const { return next_ != this; }
  void Unlink() {
    previous_->next_ = next_;
    next_->previous_ = previous_;
    next_ = previous_ = this;
  }

 private:
  template <typename T, ListHook T::*hook>
  friend class IntrusiveList;

  void LinkBefore(ListHook* other) {
    previous_ = other->previous_;
    next_ = other;
    previous_->next_ = this;
    other->previous_ = this;
  }

  ListHook* next_ = this;
  ListHook* previous_ = this;
};

template <typename T, ListHook T::*hook>
class IntrusiveList {
 public:
  bool empty() const { return !head_.is_linked(); }
  // REQUIRES: `element` is in no list through this hook.
  void PushBack(T* element) { (element->*hook).LinkBefore(&head_); }
  T* front() const { return empty() ? nullptr : Owner(head_.next_); }
  // The element after `element`, or nullptr at the end.
  T* Next(const T* element) const {
    ListHook* next = (element->*hook).next_;
    return next == &head_ ? nullptr : Owner(next);
  }
  T* PopFront() {
    T* element = front();
    if (element != nullptr) (element->*hook).Unlink();
    return element;
  }
  // Moves all elements of `other` to the end of this list.
  void TakeAll(IntrusiveList* other) {
    while (T* element = other->PopFront()) PushBack(element);
  }

 private:
  static T* Owner(ListHook* linked) {
    // The offset of the hook in T; offsetof does not take a pointer to member.
    alignas(T) static char probe[sizeof(T)];
    T* object = reinterpret_cast<T*>(probe);
    const auto offset = reinterpret_cast<char*>(&(object->*hook)) - probe;
    return reinterpret_cast<T*>(reinterpret_cast<char*>(linked) - offset);
  }

  ListHook head_;
};

}  // namespace sidelb
