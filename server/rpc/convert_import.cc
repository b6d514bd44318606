#include "server/rpc/convert_import.h"

#include <utility>

#include "fmt/format.h"
#include "server/rpc/convert_resources.h"
#include "server/rpc/convert_values.h"

namespace sidelb::rpc {
namespace {

control::ImportedClaim ClaimFromProto(const pb::Claim& proto, const Address& address,
                                      const FieldPath& path, FirstError* error) {
  control::ImportedClaim claim{.owner = proto.owner()};
  const FieldPath spec = path.Field("spec");
  if (proto.spec().address().empty()) {
    pb::BackendSpec whole = proto.spec();
    whole.set_address(address.ToString());
    claim.spec = error->Take(FromProto(whole, spec));
    return claim;
  }
  claim.spec = error->Take(FromProto(proto.spec(), spec));
  if (error->ok() && claim.spec.address != address) {
    error->Add(BadFieldAt(spec.Field("address"),
                          fmt::format("'{}' is not the backend's '{}'",
                                      claim.spec.address.ToString(), address.ToString())));
  }
  return claim;
}

control::ImportedBackend BackendFromProto(const pb::Backend& proto, const FieldPath& path,
                                          FirstError* error) {
  control::ImportedBackend backend{.pool = proto.pool()};
  backend.address = error->Take(AddressFromProto(proto.address(), path.Field("address")));
  if (!error->ok()) return backend;
  backend.claims.reserve(proto.claims_size());
  for (int i = 0; i < proto.claims_size() && error->ok(); ++i) {
    backend.claims.push_back(
        ClaimFromProto(proto.claims(i), backend.address, path.Field("claims", i), error));
  }
  if (!proto.has_override()) return backend;
  const FieldPath override = path.Field("override");
  backend.override = error->Take(FromProto(proto.override(), override));
  if (proto.override().has_expire_time()) {
    backend.override->expire_time =
        error->Take(FromProto(proto.override().expire_time(), override.Field("expire_time")));
  }
  return backend;
}

}  // namespace

control::ImportState ImportFromProto(const pb::Import& proto, const FieldPath& path,
                                     FirstError* error) {
  control::ImportState import{.replace_all = proto.replace_all()};
  const FieldPath state = path.Field("state");
  for (int i = 0; i < proto.state().listeners_size() && error->ok(); ++i) {
    import.listeners.push_back(
        error->Take(FromProto(proto.state().listeners(i), state.Field("listeners", i))));
  }
  for (int i = 0; i < proto.state().pools_size() && error->ok(); ++i) {
    import.pools.push_back(error->Take(FromProto(proto.state().pools(i), state.Field("pools", i))));
  }
  for (int i = 0; i < proto.state().backends_size() && error->ok(); ++i) {
    const pb::Backend& backend = proto.state().backends(i);
    if (backend.status().state() == pb::BACKEND_STATE_REMOVING) continue;
    import.backends.push_back(BackendFromProto(backend, state.Field("backends", i), error));
    import.backends.back().place = static_cast<size_t>(i);
  }
  return import;
}

}  // namespace sidelb::rpc
