// Files of `replace`: backends as JSON or as lines.
#include <set>

#include "client/cli/exit_code.h"
#include "client/cli/input.h"
#include "dataplane/base/address.h"
#include "tests/fuzz/fuzz.h"

using sidelb::fuzz::Require;
namespace client = sidelb::client;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string text(sidelb::fuzz::Text(data, size));
  const auto backends = client::ParseBackendList("-", text);
  if (!backends.ok()) {
    Require(client::ExitCodeFor(backends.status()) == client::ExitCode::kUsage,
            "a wrong file is a usage error", std::string(backends.status().message()));
    return 0;
  }
  std::set<std::string> addresses;
  for (const auto& spec : *backends) {
    const auto address = sidelb::Address::Parse(spec.address());
    Require(address.ok() && address->ToString() == spec.address(),
            "addresses are as the daemon names them", spec.address());
    Require(address->port() != 0, "they have a port", spec.address());
    Require(addresses.insert(spec.address()).second, "none stands twice", spec.address());
  }
  return 0;
}
