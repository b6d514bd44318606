// CloseReason: why a session ended. Counted per backend or, where no backend was picked, per pool
// or listener. The same words and order as CloseReason in proto/sidelb/v1/resources.proto.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace sidelb {

enum class CloseReason : uint8_t {
  kUnspecified = 0,
  kFinished = 1,  // both sides sent FIN
  kDownstreamReset = 2,
  kUpstreamReset = 3,
  kDownstreamTimeout = 4,  // keepalive or user timeout: the peer is gone
  kUpstreamTimeout = 5,
  kIdleTimeout = 6,
  kHalfCloseTimeout = 7,
  kNoBackend = 8,        // no backend of the pool is eligible
  kNoCapacity = 9,       // every eligible backend is full
  kConnectFailed = 10,   // the last attempt was refused or unreachable
  kConnectTimeout = 11,  // the last attempt timed out
  kListenerLimit = 12,
  kDrainDeadline = 13,
  kBackendDisabled = 14,
  kBackendUnhealthy = 15,
  kShutdown = 16,
  kLocalError = 17,  // out of descriptors, ports or memory here
  kClientLimit = 18,
  kEvicted = 19,
  kProxyProtocol = 20,
};

inline constexpr size_t kCloseReasonCount = 21;

// "finished", "downstream_reset", ...
std::string_view CloseReasonName(CloseReason reason);

}  // namespace sidelb
