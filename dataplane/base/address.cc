#include "dataplane/base/address.h"

#include <arpa/inet.h>

#include <charconv>
#include <cstring>

#include "fmt/format.h"

namespace sidelb {
namespace {

constexpr unsigned char kV4MappedPrefix[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

absl::Status Invalid(std::string_view text, std::string_view why) {
  return absl::InvalidArgumentError(
      fmt::format("'{}' {}; allowed: IP:PORT, as in 192.0.2.1:80 or [2001:db8::1]:80", text, why));
}

bool ParsePort(std::string_view text, uint16_t* port) {
  unsigned value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (text.empty() || error != std::errc() || end != text.data() + text.size()) return false;
  if (value > 65'535) return false;
  *port = static_cast<uint16_t>(value);
  return true;
}

}  // namespace

Address::Address() { std::memset(&storage_, 0, sizeof(storage_)); }

absl::StatusOr<Address> Address::Parse(std::string_view text) {
  // inet_pton() would stop there and take what stands before it.
  if (text.find('\0') != std::string_view::npos) return Invalid(text, "has a zero byte in it");
  const size_t colon = text.rfind(':');
  if (colon == std::string_view::npos || colon < text.rfind(']') + 1) {
    return Invalid(text, "has no port");
  }
  std::string_view host = text.substr(0, colon);
  uint16_t port = 0;
  if (!ParsePort(text.substr(colon + 1), &port)) {
    return Invalid(text, "has no port from 0 to 65535");
  }
  Address address;
  if (host.starts_with('[') && host.ends_with(']')) {
    const std::string inner(host.substr(1, host.size() - 2));
    sockaddr_in6 v6{};
    if (inet_pton(AF_INET6, inner.c_str(), &v6.sin6_addr) != 1) {
      return Invalid(text, "is not an IPv6 address");
    }
    v6.sin6_family = AF_INET6;
    v6.sin6_port = htons(port);
    return FromSockaddr(reinterpret_cast<const sockaddr*>(&v6), sizeof(v6));
  }
  if (host.find(':') != std::string_view::npos) {
    return Invalid(text, "is an IPv6 address without brackets");
  }
  if (inet_pton(AF_INET, std::string(host).c_str(), &address.storage_.v4.sin_addr) != 1) {
    return Invalid(text, "is not an IP address (host names are not resolved here)");
  }
  address.storage_.v4.sin_family = AF_INET;
  address.storage_.v4.sin_port = htons(port);
  return address;
}

Address Address::FromSockaddr(const sockaddr* source, socklen_t length) {
  Address address;
  if (source == nullptr || length < sizeof(sa_family_t)) return address;
  if (source->sa_family == AF_INET && length >= sizeof(sockaddr_in)) {
    sockaddr_in v4;
    std::memcpy(&v4, source, sizeof(v4));
    address.storage_.v4.sin_family = AF_INET;
    address.storage_.v4.sin_port = v4.sin_port;
    address.storage_.v4.sin_addr = v4.sin_addr;
  } else if (source->sa_family == AF_INET6 && length >= sizeof(sockaddr_in6)) {
    sockaddr_in6 v6;
    std::memcpy(&v6, source, sizeof(v6));
    if (std::memcmp(v6.sin6_addr.s6_addr, kV4MappedPrefix, sizeof(kV4MappedPrefix)) == 0) {
      address.storage_.v4.sin_family = AF_INET;
      address.storage_.v4.sin_port = v6.sin6_port;
      std::memcpy(&address.storage_.v4.sin_addr, v6.sin6_addr.s6_addr + 12, 4);
    } else {
      address.storage_.v6.sin6_family = AF_INET6;
      address.storage_.v6.sin6_port = v6.sin6_port;
      address.storage_.v6.sin6_addr = v6.sin6_addr;
      address.storage_.v6.sin6_scope_id = v6.sin6_scope_id;
    }
  }
  return address;
}

uint16_t Address::port() const {
  // The port stands at the same place in both families.
  return is_specified() ? ntohs(storage_.v4.sin_port) : 0;
}

Address Address::WithPort(uint16_t port) const {
  Address copy = *this;
  copy.storage_.v4.sin_port = htons(port);
  return copy;
}

std::string Address::Host() const {
  char text[INET6_ADDRSTRLEN] = "";
  if (!is_specified()) return "";
  inet_ntop(family(), bytes(), text, sizeof(text));
  return text;
}

std::string Address::ToString() const {
  if (!is_specified()) return "";
  return fmt::format(fmt::runtime(is_v6() ? "[{}]:{}" : "{}:{}"), Host(), port());
}

const char* Address::bytes() const {
  return is_v6() ? reinterpret_cast<const char*>(&storage_.v6.sin6_addr)
                 : reinterpret_cast<const char*>(&storage_.v4.sin_addr);
}

bool operator==(const Address& a, const Address& b) {
  if (a.family() == AF_INET &&
      b.family() == AF_INET) {  // without a call: large pools compare a lot
    return a.storage_.v4.sin_addr.s_addr == b.storage_.v4.sin_addr.s_addr &&
           a.storage_.v4.sin_port == b.storage_.v4.sin_port;
  }
  return a.family() == b.family() && a.port() == b.port() &&
         std::memcmp(a.bytes(), b.bytes(), a.is_v6() ? 16 : 4) == 0;
}

bool operator<(const Address& a, const Address& b) {
  if (a.family() != b.family()) return a.family() < b.family();
  if (a.family() == AF_INET) {
    const uint32_t left = ntohl(a.storage_.v4.sin_addr.s_addr);
    const uint32_t right = ntohl(b.storage_.v4.sin_addr.s_addr);
    return left != right ? left < right : a.port() < b.port();
  }
  const int order = std::memcmp(a.bytes(), b.bytes(), a.is_v6() ? 16 : 4);
  return order != 0 ? order < 0 : a.port() < b.port();
}

}  // namespace sidelb
