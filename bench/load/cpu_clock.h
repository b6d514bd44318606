// The CPU time that other processes have used, from /proc/PID/task/*/schedstat (nanoseconds; the
// kernel's own count, far finer than the ticks of /proc/PID/stat).
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <vector>

namespace sidelb::bench {

// Nanoseconds on a CPU, summed over all threads that live in `pids`. Ends the program when one of
// the processes is gone.
uint64_t CpuNanoseconds(const std::vector<pid_t>& pids);

}  // namespace sidelb::bench
