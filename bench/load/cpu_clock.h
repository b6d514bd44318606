// The CPU time that other processes have used, from /proc/PID/task/*/schedstat (nanoseconds; the
// kernel's own count, far finer than the ticks of /proc/PID/stat).
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace sidelb::bench {

// Nanoseconds on a CPU by the names of threads, over all that live in `pids`. Ends the program when
// one of the processes is gone.
std::map<std::string, uint64_t> CpuNanoseconds(const std::vector<pid_t>& pids);

}  // namespace sidelb::bench
