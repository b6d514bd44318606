#include "server/rpc/source_name.h"

#include <cstring>

#include "fmt/format.h"

namespace sidelb::rpc {

std::string SourceName(const Address& address) {
  if (!address.is_v6()) return address.Host();
  sockaddr_in6 v6;
  std::memcpy(&v6, address.data(), sizeof(v6));
  // This machine is one, whichever of its addresses it uses.
  if (IN6_IS_ADDR_LOOPBACK(&v6.sin6_addr)) return address.Host();
  std::memset(v6.sin6_addr.s6_addr + 8, 0, 8);
  return fmt::format(
      "{}/64", Address::FromSockaddr(reinterpret_cast<const sockaddr*>(&v6), sizeof(v6)).Host());
}

}  // namespace sidelb::rpc
