// Addresses as text and as the kernel gives them.
#include <algorithm>
#include <cstring>

#include "dataplane/base/address.h"
#include "tests/fuzz/fuzz.h"

using sidelb::Address;
using sidelb::fuzz::Require;

namespace {

void RequireRoundTrip(const Address& address) {
  const std::string text = address.ToString();
  const absl::StatusOr<Address> again = Address::Parse(text);
  Require(again.ok(), "what ToString() writes is parsed", text);
  Require(*again == address && again->ToString() == text, "it means the same", text);
  Require(!(*again < address) && !(address < *again), "equal ones have no order", text);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text = sidelb::fuzz::Text(data, size);
  if (const absl::StatusOr<Address> address = Address::Parse(text); address.ok()) {
    Require(address->is_specified(), "what is parsed is specified", text);
    RequireRoundTrip(*address);
    const Address copy = Address::FromSockaddr(address->data(), address->size());
    Require(copy == *address, "a socket address means the same", text);
    Require(address->WithPort(7).port() == 7 && address->WithPort(7).Host() == address->Host(),
            "a port changes nothing else", text);
  } else {
    Require(absl::IsInvalidArgument(address.status()), "errors are INVALID_ARGUMENT", text);
  }

  sockaddr_storage storage{};
  std::memcpy(&storage, data, std::min(size, sizeof(storage)));
  const Address given =
      Address::FromSockaddr(reinterpret_cast<const sockaddr*>(&storage),
                            static_cast<socklen_t>(std::min(size, sizeof(storage))));
  if (given.is_specified()) RequireRoundTrip(given);
  return 0;
}
