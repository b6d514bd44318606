// Interrupt: Ctrl-C as something that a command which runs for long can wait for.
//
// Thread safety: all of it by any thread; Raise() also in a signal handler.
// Ownership: outlives its listeners.
#pragma once

#include <atomic>
#include <functional>
#include <thread>

namespace sidelb::client {

class Interrupt {
 public:
  // Calls `wake` once it is raised, at once if it is already, from a thread of its own. No call is
  // under way after the destructor. Does nothing without an interrupt.
  class Listener {
   public:
    Listener(Interrupt* interrupt, std::function<void()> wake);
    ~Listener();
    Listener(const Listener&) = delete;
    Listener& operator=(const Listener&) = delete;

   private:
    void Run();

    Interrupt* const interrupt_;
    const std::function<void()> wake_;
    const int stop_;  // an eventfd
    std::thread thread_;
  };

  Interrupt();
  ~Interrupt();
  Interrupt(const Interrupt&) = delete;
  Interrupt& operator=(const Interrupt&) = delete;

  // False when nobody listens, or when it was raised before: then the command does not end itself.
  bool Raise();

 private:
  const int raised_;  // an eventfd, readable for good once raised
  std::atomic<bool> is_raised_ = false;
  std::atomic<int> listeners_ = 0;
};

}  // namespace sidelb::client
