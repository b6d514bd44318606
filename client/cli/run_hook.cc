#include "client/cli/run_hook.h"

#include <signal.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "client/cli/event_lines.h"
#include "client/cli/values.h"
#include "fmt/format.h"

extern char** environ;

namespace sidelb::client {
namespace {

std::vector<char*> Pointers(std::vector<std::string>* texts) {
  std::vector<char*> pointers;
  for (std::string& text : *texts) pointers.push_back(text.data());
  pointers.push_back(nullptr);
  return pointers;
}

// A file without a name that holds `text` and is read from its beginning: unlike a pipe it takes
// any length, and does not mind a command that reads nothing.
class InputFile {
 public:
  explicit InputFile(std::string_view text) : descriptor_(memfd_create("event", MFD_CLOEXEC)) {
    while (descriptor_ >= 0 && !text.empty()) {
      const ssize_t written = write(descriptor_, text.data(), text.size());
      if (written <= 0) {
        Fail();
        return;
      }
      text.remove_prefix(static_cast<size_t>(written));
    }
    if (descriptor_ >= 0 && lseek(descriptor_, 0, SEEK_SET) != 0) Fail();
  }
  ~InputFile() {
    if (descriptor_ >= 0) close(descriptor_);
  }
  InputFile(const InputFile&) = delete;
  InputFile& operator=(const InputFile&) = delete;

  int descriptor() const { return descriptor_; }  // negative when it could not be made

 private:
  void Fail() {
    close(descriptor_);
    descriptor_ = -1;
  }

  int descriptor_;
};

}  // namespace

std::vector<std::string> EnvironmentWith(const std::vector<std::string>& own) {
  std::vector<std::string> variables = own;
  for (char** variable = environ; *variable != nullptr; ++variable) {
    const std::string_view name =
        std::string_view(*variable).substr(0, std::string_view(*variable).find('=') + 1);
    const bool is_set = std::any_of(
        own.begin(), own.end(), [&](const std::string& text) { return text.starts_with(name); });
    if (!is_set) variables.emplace_back(*variable);
  }
  return variables;
}

std::vector<std::string> HookVariables(const pb::Event& event, std::string_view resume_token) {
  std::string object = "backend", pool = event.backend().pool(), state;
  if (event.has_listener()) {
    object = "listener";
    pool = event.listener().pool();
  } else if (event.has_pool()) {
    object = "pool";
    pool = event.pool().name();
  } else if (event.has_lease()) {
    object = "lease";
  } else if (event.backend().has_status()) {
    state = Word(pb::BackendState_Name(event.backend().status().state()), "BACKEND_STATE_");
  }
  return {
      "SIDELB_EVENT_KIND=" + Word(pb::EventKind_Name(event.kind()), "EVENT_KIND_"),
      "SIDELB_EVENT_OBJECT=" + object,
      "SIDELB_EVENT_NAME=" + NameOf(event),
      "SIDELB_EVENT_POOL=" + pool,
      "SIDELB_EVENT_STATE=" + state,
      fmt::format("SIDELB_RESUME_TOKEN={}", resume_token),
  };
}

std::string RunHook(const std::string& command, std::string_view input,
                    const std::vector<std::string>& variables) {
  const InputFile file(input);
  if (file.descriptor() < 0) return fmt::format("cannot hand the event over: {}", strerror(errno));
  std::vector<std::string> words = {"sh", "-c", command};
  std::vector<std::string> environment = EnvironmentWith(variables);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, file.descriptor(), STDIN_FILENO);
  pid_t child = 0;
  const int error = posix_spawn(&child, "/bin/sh", &actions, nullptr, Pointers(&words).data(),
                                Pointers(&environment).data());
  posix_spawn_file_actions_destroy(&actions);
  if (error != 0) return fmt::format("cannot run /bin/sh: {}", strerror(error));
  int ended = 0;
  while (waitpid(child, &ended, 0) < 0 && errno == EINTR) {
  }
  if (WIFEXITED(ended)) {
    const int code = WEXITSTATUS(ended);
    return code == 0 || code == 128 + SIGINT ? "" : fmt::format("it exited with {}", code);
  }
  return WTERMSIG(ended) == SIGINT ? "" : fmt::format("signal {} ended it", WTERMSIG(ended));
}

}  // namespace sidelb::client
