// Where the client finds the daemon.
#include "client/endpoint.h"
#include "server/rpc/endpoint.h"
#include "tests/fuzz/fuzz.h"

using sidelb::client::Endpoint;
using sidelb::fuzz::Require;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text = sidelb::fuzz::Text(data, size);
  const absl::StatusOr<Endpoint> endpoint = sidelb::client::ParseEndpoint(text);
  if (!endpoint.ok()) {
    Require(absl::IsInvalidArgument(endpoint.status()), "errors are INVALID_ARGUMENT", text);
    return 0;
  }
  Require(!endpoint->address.empty(), "an endpoint has an address", text);
  Require(endpoint->address.find('\0') == std::string::npos, "it has no zero byte", text);
  const auto again = sidelb::client::ParseEndpoint(endpoint->ToString());
  Require(again.ok() && *again == *endpoint, "what ToString() writes means the same", text);
  if (endpoint->kind == Endpoint::Kind::kUnix) {
    const auto served = sidelb::rpc::ParseEndpoint(text);
    Require(served.ok() && served->path == endpoint->address, "the daemon means the same socket",
            text);
  }
  return 0;
}
