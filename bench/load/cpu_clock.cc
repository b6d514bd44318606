#include "bench/load/cpu_clock.h"

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <system_error>

namespace sidelb::bench {

std::map<std::string, uint64_t> CpuNanoseconds(const std::vector<pid_t>& pids) {
  std::map<std::string, uint64_t> threads;
  for (const pid_t pid : pids) {
    const std::string folder = "/proc/" + std::to_string(pid) + "/task";
    std::error_code error;
    for (const auto& task : std::filesystem::directory_iterator(folder, error)) {
      uint64_t nanoseconds = 0;
      std::string name;
      // A thread that ends between the listing and the read adds nothing.
      if (!(std::ifstream(task.path() / "schedstat") >> nanoseconds)) continue;
      std::ifstream(task.path() / "comm") >> name;
      threads[name] += nanoseconds;
    }
    if (error) {
      std::fprintf(stderr, "sidelb-load: process %d is gone: no %s\n", static_cast<int>(pid),
                   folder.c_str());
      std::exit(1);
    }
  }
  return threads;
}

}  // namespace sidelb::bench
