#include "client/cli/read_state.h"

namespace sidelb::client {

pb::GetStateRequest ReadRequest(std::initializer_list<pb::ObjectKind> kinds,
                                const std::vector<std::string>& pools, pb::View view) {
  pb::GetStateRequest request;
  for (pb::ObjectKind kind : kinds) request.mutable_filter()->add_kinds(kind);
  for (const std::string& pool : pools) request.mutable_filter()->add_pools(pool);
  request.set_view(view);
  return request;
}

absl::StatusOr<std::optional<pb::Pool>> ReadPool(const Invocation& invocation,
                                                 const std::string& name) {
  auto read =
      invocation.calls.get_state(ReadRequest({pb::OBJECT_KIND_POOL}, {name}, pb::VIEW_CONFIG));
  if (!read.ok()) return read.status();
  for (const pb::Pool& pool : read->state().pools()) {
    if (pool.name() == name) return std::optional<pb::Pool>(pool);
  }
  return std::optional<pb::Pool>();
}

}  // namespace sidelb::client
