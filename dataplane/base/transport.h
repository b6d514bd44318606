// What a listener carries, and what a UDP listener takes for a session.
#pragma once

#include <cstdint>

namespace sidelb {

enum class Transport : uint8_t { kTcp, kUdp };

enum class UdpPolicy : uint8_t {
  kSession,          // one backend for a client until it is idle
  kRequestResponse,  // the session ends when each of its datagrams is answered
  kOneWay,           // no answer is expected, none is relayed; one backend for a client until idle
  kPerPacket,        // each datagram is picked anew; no answer is relayed
};

}  // namespace sidelb
