// sidelb-cli: the program. Everything but signals and terminals is in run.h.
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <iostream>
#include <string>
#include <string_view>
#include <vector>

#include "client/cli/run.h"
#include "client/cli/screen.h"

namespace {

using sidelb::client::Colour;
using sidelb::client::ExitCode;

sidelb::client::WriteMark write_mark;
sidelb::client::Interrupt* interrupt = nullptr;

// A command that runs for long ends itself. Everything else ends at once, as a person who presses
// Ctrl-C expects. Only calls what is safe in a handler.
void OnSignal(int number) {
  if (interrupt->Raise()) return;
  sidelb::client::Screen::GiveBackInHandler();
  if (number != SIGINT) {
    signal(number, SIG_DFL);
    raise(number);
    return;
  }
  if (write_mark.is_writing) {
    constexpr std::string_view kText =
        "\nwarning: interrupted; the change may have been made, see \"sidelb-cli get\"\n";
    [[maybe_unused]] const ssize_t written = write(STDERR_FILENO, kText.data(), kText.size());
  }
  _exit(static_cast<int>(ExitCode::kInterrupted));
}

// See https://no-color.org.
Colour ColourOf(int descriptor) {
  const char* no_color = std::getenv("NO_COLOR");
  const char* terminal = std::getenv("TERM");
  const bool is_refused = (no_color != nullptr && *no_color != '\0') ||
                          (terminal != nullptr && std::string_view(terminal) == "dumb");
  return !is_refused && isatty(descriptor) ? Colour::kAnsi : Colour::kNever;
}

}  // namespace

int main(int argc, char** argv) {
  sidelb::client::Interrupt the_interrupt;
  interrupt = &the_interrupt;
  struct sigaction action {};
  action.sa_handler = OnSignal;
  action.sa_flags = SA_RESTART;
  for (const int number : {SIGINT, SIGTERM, SIGHUP}) sigaction(number, &action, nullptr);
  // gRPC's own log lines would stand between ours; what they say is in the errors.
  setenv("GRPC_VERBOSITY", "NONE", /*overwrite=*/0);
  std::ios::sync_with_stdio(false);

  const std::vector<std::string> words(argv + std::min(argc, 1), argv + argc);
  sidelb::client::Streams streams{
      std::cin,      std::cout, std::cerr, ColourOf(STDOUT_FILENO), ColourOf(STDERR_FILENO),
      &the_interrupt};
  if (isatty(STDIN_FILENO) && isatty(STDOUT_FILENO)) {
    streams.terminal = sidelb::client::TerminalDescriptors{STDIN_FILENO, STDOUT_FILENO};
  }
  return static_cast<int>(
      sidelb::client::Run(words, sidelb::client::SystemEndpointSources(), streams, &write_mark));
}
