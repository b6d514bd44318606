// Faults: errors of this machine (no descriptors, no ports, no memory), counted and logged once a
// minute each. They are survived, and never count against a backend.
//
// Thread safety: any thread. Ownership: one per data plane, outlives its shards.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <string_view>

namespace sidelb {

// How often each happened since the start.
struct FaultCounters {
  uint64_t emfile = 0;         // out of descriptors: EMFILE, ENFILE
  uint64_t eaddrnotavail = 0;  // out of local ports towards a backend
  uint64_t enobufs = 0;        // ENOBUFS, ENOMEM, ENOSPC (watches of epoll)
  uint64_t enetunreach = 0;    // no route from here
  uint64_t other = 0;
};

class Faults {
 public:
  // Counts `error` (an errno) that happened while `doing`, as in "accepting".
  void Count(int error, std::string_view doing);
  FaultCounters Read() const;

  // Whether `error` of socket(2), connect(2) or epoll_ctl(2) speaks of this machine, not of the
  // peer.
  static bool IsLocal(int error);

 private:
  static constexpr size_t kKinds = 5;
  static size_t Kind(int error);

  std::array<std::atomic<uint64_t>, kKinds> counts_{};
  std::array<std::atomic<int64_t>, kKinds> next_log_s_{};
};

}  // namespace sidelb
