#include "server/control/event_log.h"

#include <algorithm>
#include <utility>

namespace sidelb::control {
namespace {

size_t BytesOf(const BackendSpec& spec) {
  size_t bytes = sizeof(spec) + spec.zone.size() + spec.group.size();
  for (const auto& [key, value] : spec.tags) bytes += 96 + key.size() + value.size();
  return bytes;
}

size_t BytesOf(const Event& event) {
  size_t bytes = sizeof(Event);
  if (const auto* backend = std::get_if<BackendEvent>(&event.what)) {
    bytes += backend->after.status.detail.size();
    if (const BackendObject* object = backend->after.object.get()) {
      bytes += sizeof(*object) + BytesOf(object->effective);
      for (const Claim& claim : object->claims) bytes += sizeof(claim) + BytesOf(claim.spec);
    }
  } else {
    bytes += sizeof(ListenerObject) + sizeof(PoolObject);
  }
  return bytes;
}

}  // namespace

void EventLog::Append(EventBatch batch, size_t object_count) {
  Kept kept{.bytes = sizeof(EventBatch)};
  for (const Event& event : batch.events) kept.bytes += BytesOf(event);
  {
    const std::lock_guard lock(mutex_);
    for (Event& event : batch.events) event.position = ++head_;
    bytes_ += kept.bytes;
    events_ += batch.events.size();
    kept.batch = std::make_shared<const EventBatch>(std::move(batch));
    batches_.push_back(std::move(kept));
    while (batches_.size() > 1 && bytes_ > max_bytes_) {
      const Kept& oldest = batches_.front();
      if (events_ - oldest.batch->events.size() < 2 * object_count) break;
      bytes_ -= oldest.bytes;
      events_ -= oldest.batch->events.size();
      batches_.pop_front();
    }
  }
  const std::lock_guard lock(observer_mutex_);
  if (observer_) observer_();
}

void EventLog::SetObserver(std::function<void()> observer) {
  const std::lock_guard lock(observer_mutex_);
  observer_ = std::move(observer);
}

uint64_t EventLog::head() const {
  const std::lock_guard lock(mutex_);
  return head_;
}

uint64_t EventLog::oldest() const {
  const std::lock_guard lock(mutex_);
  return head_ - events_;
}

std::optional<EventLog::Batches> EventLog::Read(uint64_t position, size_t max_events) const {
  const std::lock_guard lock(mutex_);
  if (position > head_ || position < head_ - events_) return std::nullopt;
  auto it = std::partition_point(batches_.begin(), batches_.end(), [position](const Kept& kept) {
    return kept.batch->last_position() <= position;
  });
  Batches batches;
  for (size_t events = 0; it != batches_.end(); ++it) {
    events += it->batch->events.size();
    if (!batches.empty() && events > max_events) break;
    batches.push_back(it->batch);
  }
  return batches;
}

size_t EventLog::bytes() const {
  const std::lock_guard lock(mutex_);
  return bytes_;
}

}  // namespace sidelb::control
