// The digest by which a watching client proves that its view of the configuration is the server's:
// the sum modulo 2^64, over all objects, of FNV-1a64 of the text "KIND/POOL/KEY@REVISION". KIND is
// listener, pool or backend; POOL is empty for listeners and pools; KEY is the name, or ip:port.
// As a sum it follows each change in constant time.
//
// Backends without a claim, whose last sessions drain, are no configuration and do not count.
//
// Pure. Source of the hash: http://www.isthe.com/chongo/tech/comp/fnv/ (64 bit, FNV-1a).
#pragma once

#include <cstdint>
#include <string_view>

#include "server/control/model.h"

namespace sidelb::control {

uint64_t Fnv1a64(std::string_view text);

// What one object adds to the digest.
uint64_t DigestOf(const ListenerObject& listener);
uint64_t DigestOf(const PoolObject& pool);
uint64_t DigestOf(const BackendObject& backend);  // 0 when it has no claim

uint64_t DigestOf(const StateView& view);

}  // namespace sidelb::control
