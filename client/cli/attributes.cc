#include "client/cli/attributes.h"

#include "client/cli/values.h"

namespace sidelb::client {

void ApplyAttributes(const BackendAttributes& attributes, pb::BackendSpec* spec) {
  if (attributes.weight) {
    spec->clear_weight();
    if (*attributes.weight) spec->set_weight(**attributes.weight);
  }
  if (attributes.max_connections) spec->set_max_connections(*attributes.max_connections);
  if (attributes.zone) spec->set_zone(*attributes.zone);
  if (attributes.group) spec->set_group(*attributes.group);
  for (const std::string& key : attributes.removed_tags) spec->mutable_tags()->erase(key);
  for (const auto& [key, value] : attributes.tags) (*spec->mutable_tags())[key] = value;
  for (const auto& edit : attributes.edits) edit(spec);
}

void ApplyAttributes(const PoolAttributes& attributes, pb::Pool* pool) {
  if (attributes.mode) pool->set_mode(*attributes.mode);
  if (attributes.drain_timeout) {
    *pool->mutable_drain()->mutable_timeout() = ToProto(*attributes.drain_timeout);
  }
  if (attributes.on_timeout) pool->mutable_drain()->set_on_timeout(*attributes.on_timeout);
  for (const auto& edit : attributes.edits) edit(pool);
}

void ApplyAttributes(const ListenerAttributes& attributes, pb::Listener* listener) {
  if (attributes.pool) listener->set_pool(*attributes.pool);
  if (attributes.address) listener->set_address(*attributes.address);
  if (attributes.protocol) listener->set_protocol(*attributes.protocol);
  if (attributes.is_disabled) listener->set_disabled(*attributes.is_disabled);
  if (attributes.max_connections) listener->set_max_connections(*attributes.max_connections);
  if (attributes.connect_attempts) listener->set_connect_attempts(*attributes.connect_attempts);
  if (attributes.idle_timeout) {
    *listener->mutable_idle_timeout() = ToProto(*attributes.idle_timeout);
  }
  if (attributes.connect_timeout) {
    *listener->mutable_connect_timeout() = ToProto(*attributes.connect_timeout);
  }
  if (attributes.half_close_timeout) {
    *listener->mutable_half_close_timeout() = ToProto(*attributes.half_close_timeout);
  }
  if (attributes.keepalive_idle) {
    *listener->mutable_keepalive()->mutable_idle() = ToProto(*attributes.keepalive_idle);
  }
  if (attributes.keepalive_interval) {
    *listener->mutable_keepalive()->mutable_interval() = ToProto(*attributes.keepalive_interval);
  }
  if (attributes.keepalive_count) {
    listener->mutable_keepalive()->set_count(*attributes.keepalive_count);
  }
  for (const auto& edit : attributes.edits) edit(listener);
}

}  // namespace sidelb::client
