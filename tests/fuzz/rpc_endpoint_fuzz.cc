// Where the control service listens.
#include "server/rpc/endpoint.h"
#include "tests/fuzz/fuzz.h"

using sidelb::fuzz::Require;
using sidelb::rpc::Endpoint;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text = sidelb::fuzz::Text(data, size);
  const absl::StatusOr<Endpoint> endpoint = sidelb::rpc::ParseEndpoint(text);
  if (!endpoint.ok()) {
    Require(absl::IsInvalidArgument(endpoint.status()), "errors are INVALID_ARGUMENT", text);
    return 0;
  }
  const bool is_unix = endpoint->kind == Endpoint::Kind::kUnix;
  Require(is_unix != endpoint->path.empty(), "a path exactly for a unix socket", text);
  Require(endpoint->path.find('\0') == std::string::npos, "a path has no zero byte", text);
  Require(!is_unix || endpoint->is_local(), "a unix socket is local", text);
  const auto again = sidelb::rpc::ParseEndpoint(endpoint->ToString());
  Require(again.ok() && again->kind == endpoint->kind && again->path == endpoint->path &&
              again->address == endpoint->address,
          "what ToString() writes means the same", text);
  return 0;
}
