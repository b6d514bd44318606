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

namespace {

using sidelb::client::Colour;
using sidelb::client::ExitCode;

sidelb::client::WriteMark write_mark;

// Ends at once, as a person who presses Ctrl-C expects; only calls what is safe in a handler.
void OnInterrupt(int) {
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
  struct sigaction action {};
  action.sa_handler = OnInterrupt;
  sigaction(SIGINT, &action, nullptr);
  // gRPC's own log lines would stand between ours; what they say is in the errors.
  setenv("GRPC_VERBOSITY", "NONE", /*overwrite=*/0);
  std::ios::sync_with_stdio(false);

  const std::vector<std::string> words(argv + std::min(argc, 1), argv + argc);
  const sidelb::client::Streams streams{std::cin, std::cout, std::cerr, ColourOf(STDOUT_FILENO),
                                        ColourOf(STDERR_FILENO)};
  return static_cast<int>(
      sidelb::client::Run(words, sidelb::client::SystemEndpointSources(), streams, &write_mark));
}
