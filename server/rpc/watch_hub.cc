#include "server/rpc/watch_hub.h"

#include <google/protobuf/io/zero_copy_stream.h>
#include <grpcpp/support/proto_buffer_reader.h>
#include <pthread.h>

#include <algorithm>
#include <vector>

#include "fmt/format.h"
#include "server/control/errors.h"
#include "server/rpc/status.h"
#include "spdlog/spdlog.h"

namespace sidelb::rpc {
namespace {

constexpr size_t kMaxEventsRead = 8'192;  // of the log, for one message
constexpr std::chrono::seconds kOverflowTime{60};

// As a client may send anything.
absl::StatusOr<WatchQuery> Parse(grpc::ByteBuffer request) {
  pb::WatchRequest proto;
  grpc::ProtoBufferReader reader(&request);
  if (!reader.status().ok() || !proto.ParseFromZeroCopyStream(&reader)) {
    return control::BadField("request", "is not a WatchRequest");
  }
  return FromProto(proto);
}

absl::Status SlowConsumer(std::string_view why) {
  return control::MakeError(absl::StatusCode::kResourceExhausted,
                            fmt::format("the watch does not keep up: {}", why),
                            {.reason = "SLOW_CONSUMER"});
}

}  // namespace

struct WatchHub::Watch {
  uint64_t id = 0;
  std::unique_ptr<WatchStream> stream;
  std::unique_ptr<const control::ObjectFilter> filter;
  control::Filter selected;  // what `filter` was made of
  StateDetail detail = StateDetail::kFull;
  std::chrono::milliseconds heartbeat_interval{0};

  // The client's view.
  uint64_t position = 0;
  uint64_t revision = 0;
  uint64_t digest = 0;
  uint64_t digest_from = 0;  // the position from which `digest` is right

  std::shared_ptr<const EncodedSnapshot> snapshot;  // under way
  size_t next_chunk = 0;
  pb::ResyncReason resync = pb::RESYNC_REASON_UNSPECIFIED;  // to be told
  bool resumes = false;                                     // keeps its position
  bool is_subscribed = false;
  bool is_writing = false;
  bool is_finished = false;
  absl::Status end;  // with which to finish when the write under way has failed
  Clock::time_point write_began;
  Clock::time_point next_events;
  Clock::time_point next_heartbeat;
  std::vector<Clock::time_point> overflows;
  Clock::time_point due = Clock::time_point::max();
};

WatchHub::WatchHub(control::Controller* controller, std::string epoch, Options options)
    : controller_(controller),
      epoch_(epoch),
      options_(options),
      work_(boost::asio::make_work_guard(io_)),
      timer_(io_),
      encoder_(std::move(epoch)) {
  controller_->events().SetObserver([this] {
    if (is_notified_.exchange(true)) return;
    Post([this] { OnLogGrew(); });
  });
  thread_ = std::thread([this] { io_.run(); });
  pthread_setname_np(thread_.native_handle(), "slb-watch");
}

WatchHub::~WatchHub() {
  controller_->events().SetObserver(nullptr);
  Post([this] {
    timer_.cancel();
    timer_time_ = Clock::time_point::min();  // it is not set any more
    is_ending_ = true;
    EndWhenSettled();
  });
  thread_.join();
  const std::lock_guard lock(post_mutex_);  // who posted last has left
}

void WatchHub::EndWhenSettled() {
  if (is_ending_ && subscribing_ == 0) work_.reset();
}

WatchStream* WatchHub::Start(grpc::CallbackServerContext* context, const grpc::ByteBuffer* request,
                             const absl::Status& admitted) {
  const uint64_t id = next_id_++;
  auto* const stream = new WatchStream(
      context, {.on_written = [this, id](bool ok) { Post([this, id, ok] { OnWritten(id, ok); }); },
                .on_cancelled = [this, id] { Post([this, id] { OnCancelled(id); }); },
                .on_done = [this, id] { Post([this, id] { OnDone(id); }); }});
  auto query = admitted.ok() ? Parse(*request) : absl::StatusOr<WatchQuery>(admitted);
  Post([this, id, stream, query = std::move(query)]() mutable {
    auto watch = std::make_unique<Watch>();
    watch->id = id;
    watch->stream.reset(stream);
    watches_.emplace(id, std::move(watch));
    count_.store(watches_.size());
    Add(id, std::move(query));
  });
  return stream;
}

WatchHub::Watch* WatchHub::Find(uint64_t id) {
  const auto found = watches_.find(id);
  return found == watches_.end() ? nullptr : found->second.get();
}

// ---- Beginning ----

void WatchHub::Add(uint64_t id, absl::StatusOr<WatchQuery> query) {
  Watch* const watch = Find(id);
  if (watch == nullptr || watch->is_finished) return;
  if (is_going_away_) return Finish(*watch, DrainingError());
  if (!query.ok()) return Finish(*watch, query.status());
  if (watches_.size() > options_.max_watches) {
    if (refused_.fetch_add(1) == 0) {
      spdlog::warn("there are {} watches, as many as are allowed; more are refused",
                   options_.max_watches);
    }
    return Finish(*watch, control::MakeError(absl::StatusCode::kResourceExhausted,
                                             fmt::format("there are {} watches already; no more "
                                                         "are allowed",
                                                         options_.max_watches),
                                             {.reason = "TOO_MANY_WATCHES"}));
  }
  watch->filter = std::make_unique<control::ObjectFilter>(query->filter);
  watch->selected = std::move(query->filter);
  watch->detail = query->is_config_only ? StateDetail::kConfig : StateDetail::kFull;
  watch->heartbeat_interval =
      std::chrono::milliseconds(absl::ToInt64Milliseconds(query->heartbeat_interval));
  if (query->resume_epoch.empty()) {
    return Subscribe(*watch, !query->skip_snapshot, pb::RESYNC_REASON_UNSPECIFIED);
  }
  if (query->resume_epoch != epoch_) {
    return Subscribe(*watch, true, pb::RESYNC_REASON_NEW_EPOCH);
  }
  const control::EventLog& log = controller_->events();
  const uint64_t head = log.head();
  if (query->resume_position > head) {
    return Finish(
        *watch,
        control::MakeError(
            absl::StatusCode::kOutOfRange,
            fmt::format("resume_position: {} was not reached in this epoch, the position is {}",
                        query->resume_position, head),
            {.reason = "FUTURE_POSITION", .metadata = {{"current", std::to_string(head)}}}));
  }
  if (query->resume_position < log.oldest()) {
    return Subscribe(*watch, true, pb::RESYNC_REASON_TOO_OLD);
  }
  watch->position = query->resume_position;
  watch->resumes = true;
  Subscribe(*watch, false, pb::RESYNC_REASON_UNSPECIFIED);
}

void WatchHub::Subscribe(Watch& watch, bool with_snapshot, pb::ResyncReason resync) {
  watch.is_subscribed = false;
  ++subscribing_;
  controller_->Subscribe(
      watch.selected, with_snapshot,
      [this, id = watch.id, resync](std::optional<control::Subscription> subscription) {
        Post([this, id, resync, subscription = std::move(subscription)]() mutable {
          OnSubscribed(id, std::move(subscription), resync);
        });
      });
}

std::shared_ptr<const EncodedSnapshot> WatchHub::Encode(const Watch& watch,
                                                        const control::StateView& view) {
  if (!watch.filter->is_all()) return encoder_.Snapshot(view, watch.detail);
  // Watches that begin together share the bytes.
  auto& last = last_snapshots_[static_cast<size_t>(watch.detail)];
  std::shared_ptr<const EncodedSnapshot> snapshot = last.lock();
  if (snapshot == nullptr || snapshot->position != view.position) {
    snapshot = encoder_.Snapshot(view, watch.detail);
    last = snapshot;
  }
  return snapshot;
}

void WatchHub::OnSubscribed(uint64_t id, std::optional<control::Subscription> subscription,
                            pb::ResyncReason resync) {
  --subscribing_;
  EndWhenSettled();
  Watch* const watch = Find(id);
  if (watch == nullptr || watch->is_finished) return;
  if (!subscription || is_going_away_) return Finish(*watch, DrainingError());
  watch->is_subscribed = true;
  watch->digest = subscription->digest;
  watch->digest_from = subscription->position;
  watch->resync = resync;
  if (subscription->view != nullptr) {
    watch->snapshot = Encode(*watch, *subscription->view);
    watch->next_chunk = 0;
  }
  if (!std::exchange(watch->resumes, false)) watch->position = subscription->position;
  watch->revision = subscription->revision;
  watch->next_heartbeat = Clock::now();
  Pump(*watch);
}

// ---- Sending ----

void WatchHub::Pump(Watch& watch) {
  if (watch.is_finished || watch.is_writing || !watch.is_subscribed) return;
  const Clock::time_point now = Clock::now();
  if (is_going_away_) {
    watch.is_finished = true;
    watch.stream->WriteAndFinish(encoder_.GoingAway(watch.position, watch.revision, grace_),
                                 ToGrpcStatus(DrainingError()));
  } else if (watch.resync != pb::RESYNC_REASON_UNSPECIFIED) {
    Write(watch, encoder_.Resync(watch.position, watch.revision,
                                 std::exchange(watch.resync, pb::RESYNC_REASON_UNSPECIFIED),
                                 controller_->events().oldest()));
  } else if (watch.snapshot != nullptr) {
    grpc::ByteBuffer chunk = watch.snapshot->chunks[watch.next_chunk++];
    if (watch.next_chunk == watch.snapshot->chunks.size()) watch.snapshot.reset();
    Write(watch, std::move(chunk));
  } else if (!SendEvents(watch, now) && !watch.is_finished && watch.is_subscribed &&
             now >= watch.next_heartbeat && watch.position >= watch.digest_from) {
    SendHeartbeat(watch, now);
  }
  SetDue(watch);
}

// False when there is nothing to send now; the watch may have ended.
bool WatchHub::SendEvents(Watch& watch, Clock::time_point now) {
  const control::EventLog& log = controller_->events();
  while (now >= watch.next_events) {
    const auto batches = log.Read(watch.position, kMaxEventsRead);
    if (!batches) {
      OnOverflow(watch, now);
      return false;
    }
    if (batches->empty()) return false;
    // The digest is known from the position of the subscription on: no window may cross it.
    const uint64_t last_position =
        watch.position < watch.digest_from ? watch.digest_from : batches->back()->last_position();
    EncodedWindow window =
        encoder_.Window(*batches, watch.position, last_position, *watch.filter, watch.detail);
    if (window.end > watch.digest_from) watch.digest += window.digest_change;
    watch.position = window.end;
    watch.revision = window.revision;
    if (window.is_empty) continue;
    const bool is_behind = window.is_split || window.end < batches->back()->last_position();
    if (!is_behind) watch.next_events = now + options_.between_events;
    Write(watch, std::move(window.message));
    return true;
  }
  return false;
}

void WatchHub::SendHeartbeat(Watch& watch, Clock::time_point now) {
  watch.next_heartbeat = now + watch.heartbeat_interval;
  const uint64_t head = controller_->events().head();
  const uint64_t digest = watch.filter->depends_on_state() ? 0 : watch.digest;
  Write(watch, encoder_.Heartbeat(watch.position, watch.revision, digest, head - watch.position,
                                  absl::Now()));
}

// The log has moved past the watch.
void WatchHub::OnOverflow(Watch& watch, Clock::time_point now) {
  std::erase_if(watch.overflows, [now](auto time) { return now - time > kOverflowTime; });
  watch.overflows.push_back(now);
  if (watch.overflows.size() >= options_.max_overflows) {
    return Finish(watch, SlowConsumer(fmt::format("it fell behind what is kept {} times in {} s",
                                                  options_.max_overflows, kOverflowTime.count())));
  }
  Subscribe(watch, true, pb::RESYNC_REASON_SLOW_CONSUMER);
}

void WatchHub::Write(Watch& watch, grpc::ByteBuffer message) {
  watch.is_writing = true;
  watch.write_began = Clock::now();
  watch.stream->Write(std::move(message));
}

void WatchHub::OnWritten(uint64_t id, bool ok) {
  Watch* const watch = Find(id);
  if (watch == nullptr) return;
  watch->is_writing = false;
  if (watch->is_finished) return;
  if (!watch->end.ok()) return Finish(*watch, watch->end);
  if (!ok) return Finish(*watch, absl::CancelledError("the client went away"));
  Pump(*watch);
}

// ---- Ending ----

void WatchHub::Finish(Watch& watch, const absl::Status& status) {
  watch.is_finished = true;
  watch.snapshot.reset();
  SetDue(watch);
  watch.stream->Finish(ToGrpcStatus(status));
}

void WatchHub::OnCancelled(uint64_t id) {
  Watch* const watch = Find(id);
  if (watch == nullptr || watch->is_finished || watch->is_writing) return;
  Finish(*watch, absl::CancelledError("the client went away"));
}

void WatchHub::OnDone(uint64_t id) {
  Watch* const watch = Find(id);
  if (watch == nullptr) return;
  due_.erase({watch->due, id});
  watches_.erase(id);
  count_.store(watches_.size());
}

void WatchHub::Stop(absl::Duration grace) {
  Post([this, grace] {
    is_going_away_ = true;
    grace_ = grace;
    for (auto& [id, watch] : watches_) {
      // Those whose subscription is under way end when it comes.
      Pump(*watch);
    }
  });
}

// ---- Time ----

void WatchHub::SetDue(Watch& watch) {
  due_.erase({watch.due, watch.id});
  watch.due = Clock::time_point::max();
  if (watch.is_finished || !watch.is_subscribed) return;
  if (watch.is_writing) {
    watch.due = watch.end.ok() ? watch.write_began + options_.stuck : Clock::time_point::max();
  } else {
    if (watch.position >= watch.digest_from) watch.due = watch.next_heartbeat;
    if (watch.position < controller_->events().head()) {
      watch.due = std::min(watch.due, watch.next_events);
    }
  }
  due_.insert({watch.due, watch.id});
  SetTimer();
}

void WatchHub::SetTimer() {
  if (due_.empty() || due_.begin()->first >= timer_time_) return;
  timer_time_ = due_.begin()->first;
  timer_.expires_at(timer_time_);
  timer_.async_wait([this](const boost::system::error_code& error) {
    if (error) return;  // set anew, or stopping
    timer_time_ = Clock::time_point::max();
    OnTimer();
  });
}

void WatchHub::OnTimer() {
  const Clock::time_point now = Clock::now();
  while (!due_.empty() && due_.begin()->first <= now) {
    Watch& watch = *watches_.at(due_.begin()->second);
    due_.erase(due_.begin());
    if (!watch.is_writing) {
      Pump(watch);
      continue;
    }
    watch.end = SlowConsumer(
        fmt::format("a message could not be sent within {} s",
                    std::chrono::duration_cast<std::chrono::seconds>(options_.stuck).count()));
    spdlog::warn("a watch is ended: {}", std::string(watch.end.message()));
    watch.stream->Cancel();
  }
  SetTimer();
}

void WatchHub::OnLogGrew() {
  is_notified_.store(false);
  for (auto& [id, watch] : watches_) Pump(*watch);
}

}  // namespace sidelb::rpc
