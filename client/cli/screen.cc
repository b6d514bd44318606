#include "client/cli/screen.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <cstdint>
#include <utility>

#include "absl/time/clock.h"

namespace sidelb::client {
namespace {

// The alternate screen without a cursor, and back.
constexpr std::string_view kEnter = "\x1b[?1049h\x1b[?25l\x1b[2J";
constexpr std::string_view kLeave = "\x1b[?25h\x1b[?1049l";

// For signal handlers.
std::atomic<int> resize_event = -1;
std::atomic<const Screen*> living = nullptr;

void Set(int event) {
  const uint64_t one = 1;
  [[maybe_unused]] const ssize_t written = write(event, &one, sizeof(one));
}

void OnResize(int) {
  const int saved = errno;
  Set(resize_event);
  errno = saved;
}

}  // namespace

std::vector<Key> ParseKeys(std::string_view bytes) {
  static constexpr std::array<std::pair<std::string_view, Key>, 16> kKeys = {{
      {"\x1b[A", Key::kUp},
      {"\x1b[B", Key::kDown},
      {"\x1bOA", Key::kUp},
      {"\x1bOB", Key::kDown},
      {"\x1b[5~", Key::kPageUp},
      {"\x1b[6~", Key::kPageDown},
      {"\x1b[H", Key::kHome},
      {"\x1b[F", Key::kEnd},
      {"\x1b[1~", Key::kHome},
      {"\x1b[4~", Key::kEnd},
      {"q", Key::kQuit},
      {"s", Key::kSort},
      {"r", Key::kReverse},
      {" ", Key::kPause},
      {"k", Key::kUp},
      {"j", Key::kDown},
  }};
  std::vector<Key> keys;
  while (!bytes.empty()) {
    const auto found = std::find_if(kKeys.begin(), kKeys.end(), [bytes](const auto& key) {
      return bytes.starts_with(key.first);
    });
    if (found != kKeys.end()) {
      keys.push_back(found->second);
      bytes.remove_prefix(found->first.size());
      continue;
    }
    size_t length = 1;
    // A sequence of another key ends with its first letter or ~; its bytes are no keys.
    if (bytes.starts_with("\x1b[") || bytes.starts_with("\x1bO")) {
      length = 2;
      while (length < bytes.size() && (bytes[length] < '@' || bytes[length] > '~')) ++length;
      length = std::min(length + 1, bytes.size());
    }
    bytes.remove_prefix(length);
  }
  return keys;
}

std::string FrameBytes(const std::vector<std::string>& lines) {
  std::string bytes = "\x1b[H";
  for (size_t i = 0; i < lines.size(); ++i) {
    if (i > 0) bytes += "\r\n";
    bytes += lines[i];
    bytes += "\x1b[K";
  }
  return bytes + "\x1b[J";
}

Screen::Screen(const TerminalDescriptors& terminal)
    : terminal_(terminal), wake_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
  resize_event = wake_;
  struct sigaction action {};
  action.sa_handler = OnResize;
  action.sa_flags = SA_RESTART;
  sigaction(SIGWINCH, &action, &resize_before_);
  tcgetattr(terminal_.in, &before_);
  termios raw = before_;
  raw.c_lflag &= ~static_cast<tcflag_t>(ICANON | ECHO);
  raw.c_cc[VMIN] = 1;
  raw.c_cc[VTIME] = 0;
  // Ctrl-C still interrupts. Being stopped or killed with a core would leave the terminal as it is.
  raw.c_cc[VSUSP] = _POSIX_VDISABLE;
  raw.c_cc[VQUIT] = _POSIX_VDISABLE;
  tcsetattr(terminal_.in, TCSANOW, &raw);
  living = this;
  Write(kEnter);
}

Screen::~Screen() {
  GiveBack();
  living = nullptr;
  sigaction(SIGWINCH, &resize_before_, nullptr);
  resize_event = -1;
  close(wake_);
}

void Screen::GiveBack() const {
  Write(kLeave);
  tcsetattr(terminal_.in, TCSANOW, &before_);
}

void Screen::GiveBackInHandler() {
  const Screen* screen = living;
  if (screen != nullptr) screen->GiveBack();
}

ScreenSize Screen::size() const {
  winsize size{};
  if (ioctl(terminal_.out, TIOCGWINSZ, &size) != 0 || size.ws_row == 0 || size.ws_col == 0) {
    return {24, 80};
  }
  // Erasing behind a line that fills its row would take the last character.
  return {size.ws_row, std::max<size_t>(size.ws_col, 2) - 1};
}

void Screen::Write(std::string_view bytes) const {
  while (!bytes.empty()) {
    const ssize_t written = write(terminal_.out, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) return;  // the terminal is gone, which the next read notices
    bytes.remove_prefix(static_cast<size_t>(written));
  }
}

void Screen::Draw(const std::vector<std::string>& lines) { Write(FrameBytes(lines)); }

std::vector<Key> Screen::WaitForKeys(absl::Time deadline) {
  const absl::Duration left =
      std::clamp(deadline - absl::Now(), absl::ZeroDuration(), absl::Hours(1));
  pollfd events[] = {{terminal_.in, POLLIN, 0}, {wake_, POLLIN, 0}};
  // Rounded up, so that it does not spin through the last millisecond.
  const int wait = static_cast<int>(absl::ToInt64Milliseconds(left + absl::Microseconds(999)));
  if (poll(events, 2, wait) <= 0) return {};
  if (events[1].revents != 0) {
    uint64_t count = 0;
    [[maybe_unused]] const ssize_t taken = read(wake_, &count, sizeof(count));
  }
  if (events[0].revents == 0) return {};
  char bytes[256];
  const ssize_t size = read(terminal_.in, bytes, sizeof(bytes));
  if (size < 0 && (errno == EINTR || errno == EAGAIN)) return {};
  if (size <= 0) return {Key::kQuit};
  return ParseKeys({bytes, static_cast<size_t>(size)});
}

void Screen::Wake() { Set(wake_); }

}  // namespace sidelb::client
