// SourceName: whom the bounds of the control endpoint count as one source: an IPv4 address, or the
// /64 of an IPv6 address, of which one machine has as many as it likes.
//
// Thread safety: a pure function.
#pragma once

#include <string>

#include "dataplane/base/address.h"

namespace sidelb::rpc {

// "192.0.2.1", "2001:db8::/64".
std::string SourceName(const Address& address);

}  // namespace sidelb::rpc
