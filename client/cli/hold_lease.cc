#include "client/cli/hold_lease.h"

#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "absl/time/clock.h"
#include "client/cli/run_hook.h"
#include "client/error_details.h"
#include "fmt/format.h"

namespace sidelb::client {
namespace {

constexpr int kForwarded[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2, SIGWINCH};

// Blocks what is forwarded, and SIGCHLD, and makes them readable.
class Signals {
 public:
  Signals() {
    sigset_t set;
    sigemptyset(&set);
    for (const int number : kForwarded) sigaddset(&set, number);
    sigaddset(&set, SIGCHLD);
    pthread_sigmask(SIG_BLOCK, &set, &before_);
    descriptor_ = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
  }
  ~Signals() {
    close(descriptor_);
    pthread_sigmask(SIG_SETMASK, &before_, nullptr);
  }
  Signals(const Signals&) = delete;
  Signals& operator=(const Signals&) = delete;

  const sigset_t& before() const { return before_; }

  // Waits for one until `deadline`; false when none came.
  bool Wait(absl::Time deadline, signalfd_siginfo* info) const {
    const absl::Duration rest =
        std::clamp(deadline - absl::Now(), absl::ZeroDuration(), absl::Hours(1));
    pollfd event{descriptor_, POLLIN, 0};
    poll(&event, 1,
         static_cast<int>(absl::ToInt64Milliseconds(absl::Ceil(rest, absl::Milliseconds(1)))));
    return read(descriptor_, info, sizeof(*info)) == sizeof(*info);
  }

 private:
  sigset_t before_;
  int descriptor_ = -1;
};

std::vector<char*> Pointers(std::vector<std::string>* texts) {
  std::vector<char*> pointers;
  for (std::string& text : *texts) pointers.push_back(text.data());
  pointers.push_back(nullptr);
  return pointers;
}

absl::StatusOr<pid_t> Spawn(const HeldLease& held, const sigset_t& mask) {
  std::vector<std::string> words = held.words, variables = EnvironmentWith(held.variables);
  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  posix_spawnattr_setsigmask(&attributes, &mask);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK);
  pid_t pid = 0;
  const int error = posix_spawnp(&pid, words.front().c_str(), nullptr, &attributes,
                                 Pointers(&words).data(), Pointers(&variables).data());
  posix_spawnattr_destroy(&attributes);
  if (error == 0) return pid;
  return MakeError(absl::StatusCode::kFailedPrecondition, "COMMAND",
                   fmt::format("cannot run {}: {}", words.front(), std::strerror(error)));
}

}  // namespace

HoldEnd HoldLease(const HeldLease& held) {
  const Signals signals;
  auto next = held.renew();
  if (!next.ok()) return {.exit_code = 0, .status = next.status()};
  absl::Time renewal = absl::Now() + *next;
  const auto child = Spawn(held, signals.before());
  if (!child.ok()) return {.exit_code = 127, .status = child.status()};
  HoldEnd end;
  while (true) {
    signalfd_siginfo info;
    if (signals.Wait(renewal, &info)) {
      int ended = 0;
      if (info.ssi_signo != SIGCHLD) {
        // What the terminal sends, the child gets from it.
        if (info.ssi_code != SI_KERNEL) kill(*child, static_cast<int>(info.ssi_signo));
      } else if (waitpid(*child, &ended, WNOHANG) == *child) {
        end.exit_code = WIFSIGNALED(ended) ? 128 + WTERMSIG(ended) : WEXITSTATUS(ended);
        return end;
      }
      continue;
    }
    if (absl::Now() < renewal) continue;
    next = held.renew();
    if (next.ok()) {
      renewal = absl::Now() + *next;
    } else if (absl::IsAborted(next.status())) {
      // Another holder acts now: two at a time are what a lease is against.
      end.status = next.status();
      renewal = absl::InfiniteFuture();
      kill(*child, SIGTERM);
    } else {
      held.on_failure(next.status());
      renewal = absl::Now() + held.retry;
    }
  }
}

}  // namespace sidelb::client
