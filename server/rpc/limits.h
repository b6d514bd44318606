// Limits of the control endpoint. GetInfo reports what a client needs to know of them.
#pragma once

#include <cstddef>
#include <cstdint>

namespace sidelb::rpc {

inline constexpr int kMaxMessageBytes = 4 << 20;       // a request, a reply
inline constexpr int kMaxStreams = 64;                 // calls at a time on one connection
inline constexpr int kMaxMetadataBytes = 8 << 10;      // of one call
inline constexpr size_t kMaxControlConnections = 256;  // open at a time
// Of one user of the unix socket: what is left is enough to reach the daemon and see who it is.
inline constexpr size_t kMaxUserConnections = 192;
inline constexpr size_t kMaxUsers = 32;              // of the unix socket, while the daemon runs
inline constexpr size_t kMaxSourceConnections = 64;  // of one address over TCP
inline constexpr uint32_t kMaxSourceRate = 100;      // connections in a second, over TCP
inline constexpr int kHandshakeMs = 5'000;
inline constexpr size_t kMaxWatches = 1'024;
inline constexpr size_t kTransportBufferBytes = 32 << 20;

}  // namespace sidelb::rpc
