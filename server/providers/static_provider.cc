#include "server/providers/static_provider.h"

#include <utility>

namespace sidelb::providers {
namespace {

constexpr char kName[] = "default";

}  // namespace

control::ApplyRequest MakeStaticRequest(const StaticConfig& config) {
  control::ApplyRequest request;
  request.owner = "static";
  request.is_provider = true;
  request.ops.push_back({.op = control::PutPool{.spec = {.name = kName,
                                                         .mode = config.mode,
                                                         .group_by_ip = config.group_by_ip,
                                                         .ring_domains = config.ring_domains}}});
  control::ReplaceBackends backends{.pool = kName};
  for (const Address& address : config.backends) backends.backends.push_back({.address = address});
  request.ops.push_back({.op = std::move(backends)});
  control::PutListener listener{.spec = {.name = kName, .address = config.bind, .pool = kName}};
  if (config.protocol != control::Protocol::kTcp) listener.spec.protocol = config.protocol;
  request.ops.push_back({.op = std::move(listener)});
  return request;
}

}  // namespace sidelb::providers
