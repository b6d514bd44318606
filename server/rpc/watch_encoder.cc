#include "server/rpc/watch_encoder.h"

#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>
#include <google/protobuf/wire_format_lite.h>

#include <algorithm>
#include <utility>

#include "server/rpc/convert_values.h"

namespace sidelb::rpc {
namespace {

using google::protobuf::internal::WireFormatLite;
using google::protobuf::io::CodedOutputStream;

constexpr size_t kMaxKeptEvents = 16'384;
constexpr size_t kKeptWindows = 8;

grpc::ByteBuffer ToBuffer(const std::string& bytes) {
  const grpc::Slice slice(bytes);
  return grpc::ByteBuffer(&slice, 1);
}

// Appends a field of bytes: strings and messages are alike on the wire.
void AppendField(int number, std::string_view bytes, std::string* into) {
  google::protobuf::io::StringOutputStream stream(into);
  CodedOutputStream coded(&stream);
  coded.WriteTag(WireFormatLite::MakeTag(number, WireFormatLite::WIRETYPE_LENGTH_DELIMITED));
  coded.WriteVarint32(static_cast<uint32_t>(bytes.size()));
  coded.WriteRaw(bytes.data(), static_cast<int>(bytes.size()));
}

// What is left of an object that is gone: its name.
pb::Event Removed(const control::Event& event) {
  pb::Event proto;
  proto.set_kind(pb::EVENT_KIND_REMOVED);
  if (const auto* listener = std::get_if<control::ListenerEvent>(&event.what)) {
    const auto& object = listener->after.object ? listener->after.object : listener->before;
    proto.mutable_listener()->set_name(object->spec.name);
  } else if (const auto* pool = std::get_if<control::PoolEvent>(&event.what)) {
    const auto& object = pool->after.object ? pool->after.object : pool->before;
    proto.mutable_pool()->set_name(object->spec.name);
  } else if (const auto* lease = std::get_if<control::LeaseEvent>(&event.what)) {
    proto.mutable_lease()->set_owner((lease->after ? lease->after : lease->before)->owner);
  } else {
    const auto& backend = std::get<control::BackendEvent>(event.what);
    const auto& object = backend.after.object ? backend.after.object : backend.before;
    proto.mutable_backend()->set_pool(object->pool);
    proto.mutable_backend()->set_address(object->address.ToString());
  }
  return proto;
}

pb::Event Put(const control::Event& event, StateDetail detail) {
  pb::Event proto;
  proto.set_kind(pb::EVENT_KIND_PUT);
  if (const auto* listener = std::get_if<control::ListenerEvent>(&event.what)) {
    *proto.mutable_listener() = ToProto(listener->after, detail);
  } else if (const auto* pool = std::get_if<control::PoolEvent>(&event.what)) {
    *proto.mutable_pool() = ToProto(pool->after, detail);
  } else if (const auto* lease = std::get_if<control::LeaseEvent>(&event.what)) {
    *proto.mutable_lease() = ToProto(*lease->after);
  } else {
    *proto.mutable_backend() = ToProto(std::get<control::BackendEvent>(event.what).after, detail);
  }
  return proto;
}

}  // namespace

pb::WatchResponse WatchEncoder::Header(uint64_t position, uint64_t revision) const {
  pb::WatchResponse response;
  response.set_epoch(epoch_);
  response.set_position(position);
  response.set_revision(revision);
  return response;
}

std::shared_ptr<const EncodedSnapshot> WatchEncoder::Snapshot(const control::StateView& view,
                                                              StateDetail detail) const {
  auto snapshot = std::make_shared<EncodedSnapshot>();
  snapshot->position = view.position;
  snapshot->revision = view.revision;
  snapshot->detail = detail;
  pb::WatchResponse chunk = Header(view.position, view.revision);
  size_t bytes = 0;
  size_t objects = 0;
  const auto finish = [&](bool is_last) {
    chunk.mutable_snapshot()->set_last(is_last);
    snapshot->chunks.push_back(ToBuffer(chunk.SerializeAsString()));
    chunk.clear_snapshot();
    bytes = objects = 0;
  };
  const auto add = [&](auto object, auto list) {
    const size_t size = object.ByteSizeLong() + 8;
    if (objects > 0 && (bytes + size > kMaxMessageBytes || objects == kMaxSnapshotObjects)) {
      finish(false);
    }
    bytes += size;
    ++objects;
    *(chunk.mutable_snapshot()->mutable_state()->*list)() = std::move(object);
  };
  for (const auto& entry : view.pools) add(ToProto(entry, detail), &pb::State::add_pools);
  for (const auto& entry : view.listeners) add(ToProto(entry, detail), &pb::State::add_listeners);
  for (const auto& entry : view.backends) {
    if (detail == StateDetail::kConfig && entry.object->claims.empty()) continue;
    add(ToProto(entry, detail), &pb::State::add_backends);
  }
  finish(true);
  return snapshot;
}

const std::string& WatchEncoder::EventBytes(const control::Event& event, StateDetail detail) {
  if (events_.size() >= kMaxKeptEvents) events_.clear();
  std::string& bytes = events_[{event.position, detail}];
  if (bytes.empty()) bytes = Put(event, detail).SerializeAsString();
  return bytes;
}

grpc::ByteBuffer WatchEncoder::EventsMessage(const control::EventWindow& window,
                                             StateDetail detail) {
  pb::Events rest;
  rest.set_more(window.is_split);
  if (window.only != nullptr) rest.set_actor(window.only->actor);
  *rest.mutable_time() = ToProto(window.time);
  std::string events = rest.SerializeAsString();
  for (const control::WindowChange& change : window.changes) {
    if (change.is_removed) {
      AppendField(pb::Events::kEventsFieldNumber, Removed(*change.event).SerializeAsString(),
                  &events);
    } else {
      AppendField(pb::Events::kEventsFieldNumber, EventBytes(*change.event, detail), &events);
    }
  }
  std::string message = Header(window.end, window.revision).SerializeAsString();
  AppendField(pb::WatchResponse::kEventsFieldNumber, events, &message);
  return ToBuffer(message);
}

EncodedWindow WatchEncoder::Window(const control::EventLog::Batches& batches, uint64_t position,
                                   uint64_t last_position, const control::ObjectFilter& filter,
                                   StateDetail detail) {
  last_position = std::min(last_position, batches.back()->last_position());
  if (filter.is_all()) {
    for (const Recent& recent : recent_) {
      if (recent.position == position && recent.last_position == last_position &&
          recent.detail == detail) {
        return recent.window;
      }
    }
  }
  const control::EventWindow window = control::MakeWindow(
      batches, position, last_position, filter, detail == StateDetail::kConfig, kMaxMessageBytes,
      [&](const control::Event& event) { return EventBytes(event, detail).size() + 8; });
  EncodedWindow encoded{.end = window.end,
                        .revision = window.revision,
                        .digest_change = window.digest_change,
                        .is_split = window.is_split,
                        .is_empty = window.changes.empty()};
  if (!encoded.is_empty) encoded.message = EventsMessage(window, detail);
  if (filter.is_all()) {
    Recent recent{position, last_position, detail, encoded};
    if (recent_.size() < kKeptWindows) {
      recent_.push_back(std::move(recent));
    } else {
      recent_[next_recent_++ % kKeptWindows] = std::move(recent);
    }
  }
  return encoded;
}

grpc::ByteBuffer WatchEncoder::Heartbeat(uint64_t position, uint64_t revision, uint64_t digest,
                                         uint64_t queued_events, absl::Time now) const {
  pb::WatchResponse response = Header(position, revision);
  pb::Heartbeat* heartbeat = response.mutable_heartbeat();
  heartbeat->set_config_digest(digest);
  heartbeat->set_queued_events(
      static_cast<uint32_t>(std::min<uint64_t>(queued_events, UINT32_MAX)));
  *heartbeat->mutable_time() = ToProto(now);
  return ToBuffer(response.SerializeAsString());
}

grpc::ByteBuffer WatchEncoder::Resync(uint64_t position, uint64_t revision, pb::ResyncReason reason,
                                      uint64_t oldest) const {
  pb::WatchResponse response = Header(position, revision);
  response.mutable_resync()->set_reason(reason);
  response.mutable_resync()->set_oldest_position(oldest);
  return ToBuffer(response.SerializeAsString());
}

grpc::ByteBuffer WatchEncoder::GoingAway(uint64_t position, uint64_t revision,
                                         absl::Duration grace) const {
  pb::WatchResponse response = Header(position, revision);
  *response.mutable_going_away()->mutable_grace() = ToProto(grace);
  response.mutable_going_away()->set_detail("the server stops");
  return ToBuffer(response.SerializeAsString());
}

}  // namespace sidelb::rpc
