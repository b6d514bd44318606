#include "client/cli/interrupt.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <utility>

namespace sidelb::client {
namespace {

void Set(int event) {
  const uint64_t one = 1;
  [[maybe_unused]] const ssize_t written = write(event, &one, sizeof(one));
}

}  // namespace

Interrupt::Listener::Listener(Interrupt* interrupt, std::function<void()> wake)
    : interrupt_(interrupt), wake_(std::move(wake)), stop_(eventfd(0, EFD_CLOEXEC)) {
  if (interrupt_ == nullptr) return;
  ++interrupt_->listeners_;
  thread_ = std::thread([this] { Run(); });
}

Interrupt::Listener::~Listener() {
  if (thread_.joinable()) {
    --interrupt_->listeners_;
    Set(stop_);
    thread_.join();
  }
  close(stop_);
}

void Interrupt::Listener::Run() {
  pollfd events[] = {{interrupt_->raised_, POLLIN, 0}, {stop_, POLLIN, 0}};
  while (poll(events, 2, -1) < 0 && errno == EINTR) {
  }
  if (events[0].revents != 0) wake_();
}

Interrupt::Interrupt() : raised_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {}

Interrupt::~Interrupt() { close(raised_); }

bool Interrupt::Raise() {
  if (listeners_ == 0 || is_raised_.exchange(true)) return false;
  const int saved = errno;  // of what the signal interrupted
  Set(raised_);
  errno = saved;
  return true;
}

}  // namespace sidelb::client
