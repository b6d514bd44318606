// Screen: a terminal that a program has for itself: drawn whole, keys read one by one. The
// destructor gives it back as it was.
//
// Thread safety: by one thread, but Wake() by any.
// Ownership: one at a time in a process, because it listens to SIGWINCH.
#pragma once

#include <signal.h>
#include <termios.h>

#include <string>
#include <string_view>
#include <vector>

#include "absl/time/time.h"
#include "client/cli/invocation.h"
#include "client/cli/top_frame.h"

namespace sidelb::client {

enum class Key { kQuit, kSort, kReverse, kPause, kUp, kDown, kPageUp, kPageDown, kHome, kEnd };

// What bytes from a terminal mean; those that mean nothing here are left out.
std::vector<Key> ParseKeys(std::string_view bytes);

// One frame as bytes: from the top left, each line cleared behind its text, so that nothing
// flickers.
std::string FrameBytes(const std::vector<std::string>& lines);

class Screen {
 public:
  explicit Screen(const TerminalDescriptors& terminal);
  ~Screen();
  Screen(const Screen&) = delete;
  Screen& operator=(const Screen&) = delete;

  // For a signal that ends the process at once: gives back the terminal of the screen that lives,
  // if there is one. Only calls what is safe in a handler.
  static void GiveBackInHandler();

  ScreenSize size() const;
  void Draw(const std::vector<std::string>& lines);
  // Returns at a key, at a new size, at Wake() or at the deadline; empty but for keys. kQuit when
  // the terminal is gone.
  std::vector<Key> WaitForKeys(absl::Time deadline);
  void Wake();

 private:
  void Write(std::string_view bytes) const;
  void GiveBack() const;

  const TerminalDescriptors terminal_;
  const int wake_;  // an eventfd
  termios before_;
  struct sigaction resize_before_;
};

}  // namespace sidelb::client
