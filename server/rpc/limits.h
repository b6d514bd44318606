// Limits of the control endpoint. GetInfo reports what a client needs to know of them.
#pragma once

#include <cstddef>

namespace sidelb::rpc {

inline constexpr int kMaxMessageBytes = 4 << 20;       // a request, a reply
inline constexpr int kMaxStreams = 64;                 // calls at a time on one connection
inline constexpr size_t kMaxControlConnections = 256;  // of the unix socket
inline constexpr size_t kMaxWatches = 1'024;
inline constexpr size_t kTransportBufferBytes = 32 << 20;

}  // namespace sidelb::rpc
