// sidelb: the daemon. SIGTERM, SIGINT and the call Shutdown drain and end it, SIGHUP makes it read
// --config, roles and certificates again. Exit codes: 0 after a drain, 1 when it cannot start, 2
// for wrong arguments, 128 + signal when a second signal ends it at once. With --health-check-uds:
// 0 healthy, else 1.
#include <poll.h>
#include <pthread.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <string_view>
#include <variant>
#include <vector>

#include "dataplane/base/unique_fd.h"
#include "server/log.h"
#include "server/options.h"
#include "server/sd_notify.h"
#include "server/server.h"
#include "server/status_check.h"
#include "spdlog/spdlog.h"

namespace sidelb::server {
namespace {

// The signals that main waits for: those that end the daemon, and SIGHUP.
sigset_t Signals() {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGTERM);
  sigaddset(&set, SIGINT);
  sigaddset(&set, SIGHUP);
  return set;
}

void Notify(std::string_view state) {
  const char* socket = std::getenv("NOTIFY_SOCKET");
  const absl::Status status = NotifySystemd(socket == nullptr ? "" : socket, state);
  if (!status.ok()) spdlog::warn("{}", std::string(status.message()));
}

// From now on a signal ends the process at once, whatever it waits for.
void EndAtTheNextSignal() {
  struct sigaction action {};
  action.sa_handler = [](int signal) { _exit(128 + signal); };
  sigaction(SIGTERM, &action, nullptr);
  sigaction(SIGINT, &action, nullptr);
  std::signal(SIGHUP, SIG_IGN);  // it is too late for a new configuration
  const sigset_t set = Signals();
  pthread_sigmask(SIG_UNBLOCK, &set, nullptr);
}

// Serves until it is to end; returns what for.
std::string_view WaitForTheEnd(Server* server) {
  const sigset_t waited = Signals();
  const UniqueFd signals(signalfd(-1, &waited, SFD_CLOEXEC | SFD_NONBLOCK));
  while (true) {
    pollfd waits[2] = {{signals.get(), POLLIN, 0}, {server->shutdown_descriptor(), POLLIN, 0}};
    if (poll(waits, 2, -1) < 0) continue;
    if (waits[1].revents != 0) return "Shutdown";
    signalfd_siginfo info{};
    if (read(signals.get(), &info, sizeof(info)) != sizeof(info)) continue;
    if (info.ssi_signo == SIGTERM) return "SIGTERM";
    if (info.ssi_signo == SIGINT) return "SIGINT";
    server->Reload();
  }
}

int Run(const Options& options) {
  // Before the first thread, which inherits the mask: only main waits for these signals.
  const sigset_t waited_signals = Signals();
  pthread_sigmask(SIG_BLOCK, &waited_signals, nullptr);
  std::signal(SIGPIPE, SIG_IGN);
  // A file at its limit is a full disk for the store, which refuses changes then.
  std::signal(SIGXFSZ, SIG_IGN);
  // As PID 1 of a container it inherits orphans of others; ignored, their ends leave no zombies.
  std::signal(SIGCHLD, SIG_IGN);
  StartLog(options.log_level, options.log_format);
  spdlog::info("sidelb {} starts", SIDELB_VERSION);

  auto server = Server::Start(options);
  if (!server.ok()) {
    spdlog::error("cannot start: {}", std::string(server.status().message()));
    StopLog();
    return 1;
  }
  Notify("READY=1");

  const std::string_view why = WaitForTheEnd(server->get());
  EndAtTheNextSignal();
  spdlog::info("{}: stopping; {} signal ends at once", why, why == "Shutdown" ? "a" : "a second");
  Notify("STOPPING=1");
  (*server)->Drain();
  (*server)->Stop();
  spdlog::info("stopped");
  StopLog();
  return 0;
}

int Main(const std::vector<std::string>& arguments) {
  const auto parsed = ParseOptions(arguments, SystemEnvironment());
  if (const Exit* exit = std::get_if<Exit>(&parsed)) {
    std::fputs(exit->text.c_str(), exit->code == 0 ? stdout : stderr);
    return exit->code;
  }
  if (const StatusCheck* check = std::get_if<StatusCheck>(&parsed)) {
    const StatusReport report = AskStatus(*check);
    std::fputs(report.text.c_str(), report.is_answer ? stdout : stderr);
    return report.is_healthy ? 0 : 1;
  }
  return Run(std::get<Options>(parsed));
}

}  // namespace
}  // namespace sidelb::server

int main(int argc, char** argv) {
  return sidelb::server::Main(std::vector<std::string>(argv + 1, argv + argc));
}
