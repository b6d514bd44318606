#include "dataplane/base/faults.h"

#include <cerrno>
#include <chrono>
#include <system_error>

#include "dataplane/base/status.h"
#include "spdlog/spdlog.h"

namespace sidelb {
namespace {

constexpr int64_t kLogEverySeconds = 60;

int64_t NowSeconds() {
  return std::chrono::duration_cast<std::chrono::seconds>(
             std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

}  // namespace

size_t Faults::Kind(int error) {
  switch (error) {
    case EMFILE:
    case ENFILE:
      return 0;
    case EADDRNOTAVAIL:
      return 1;
    case ENOBUFS:
    case ENOMEM:
    case ENOSPC:
      return 2;
    case ENETUNREACH:
      return 3;
    default:
      return 4;
  }
}

bool Faults::IsLocal(int error) { return Kind(error) != 4; }

void Faults::Count(int error, std::string_view doing) {
  const size_t kind = Kind(error);
  const uint64_t count = counts_[kind].fetch_add(1, std::memory_order_relaxed) + 1;
  const int64_t now = NowSeconds();
  int64_t next = next_log_s_[kind].load(std::memory_order_relaxed);
  if (now < next || !next_log_s_[kind].compare_exchange_strong(next, now + kLogEverySeconds,
                                                               std::memory_order_relaxed)) {
    return;
  }
  spdlog::warn("{}: {} ({}), {} times so far; said once a minute", doing,
               std::generic_category().message(error), ErrnoName(error), count);
}

FaultCounters Faults::Read() const {
  const auto read = [this](size_t kind) { return counts_[kind].load(std::memory_order_relaxed); };
  return {.emfile = read(0),
          .eaddrnotavail = read(1),
          .enobufs = read(2),
          .enetunreach = read(3),
          .other = read(4)};
}

}  // namespace sidelb
