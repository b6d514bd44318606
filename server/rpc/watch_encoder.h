// WatchEncoder: the messages of Watch as bytes. An event is encoded once, however many watches send
// it; a stretch of the log that several watches of everything are at is put together once, too.
//
// Thread safety: one thread, that of the WatchHub. Ownership: the WatchHub.
#pragma once

#include <grpcpp/support/byte_buffer.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/time/time.h"
#include "server/control/event_window.h"
#include "server/rpc/convert_state.h"
#include "sidelb/v1/control.pb.h"

namespace sidelb::rpc {

// Chunks of a snapshot, all of one position.
struct EncodedSnapshot {
  uint64_t position = 0;
  uint64_t revision = 0;
  StateDetail detail = StateDetail::kFull;
  std::vector<grpc::ByteBuffer> chunks;
};

// A stretch of the log, ready to be sent.
struct EncodedWindow {
  uint64_t end = 0;
  uint64_t revision = 0;
  uint64_t digest_change = 0;
  bool is_split = false;
  bool is_empty = false;  // nothing in it concerns the watch
  grpc::ByteBuffer message;
};

class WatchEncoder {
 public:
  // What one message holds before the next one begins: clients accept 4 MiB.
  static constexpr size_t kMaxMessageBytes = 1 << 20;
  static constexpr size_t kMaxSnapshotObjects = 512;

  explicit WatchEncoder(std::string epoch) : epoch_(std::move(epoch)) {}

  std::shared_ptr<const EncodedSnapshot> Snapshot(const control::StateView& view,
                                                  StateDetail detail) const;
  // As control::MakeWindow().
  EncodedWindow Window(const control::EventLog::Batches& batches, uint64_t position,
                       uint64_t last_position, const control::ObjectFilter& filter,
                       StateDetail detail);
  grpc::ByteBuffer Heartbeat(uint64_t position, uint64_t revision, uint64_t digest,
                             uint64_t queued_events, absl::Time now) const;
  grpc::ByteBuffer Resync(uint64_t position, uint64_t revision, pb::ResyncReason reason,
                          uint64_t oldest) const;
  grpc::ByteBuffer GoingAway(uint64_t position, uint64_t revision, absl::Duration grace) const;

 private:
  pb::WatchResponse Header(uint64_t position, uint64_t revision) const;
  const std::string& EventBytes(const control::Event& event, StateDetail detail);
  grpc::ByteBuffer EventsMessage(const control::EventWindow& window, StateDetail detail);

  const std::string epoch_;
  absl::flat_hash_map<std::pair<uint64_t, StateDetail>, std::string> events_;  // by position
  // The last windows of watches of everything.
  struct Recent {
    uint64_t position = 0;
    uint64_t last_position = 0;
    StateDetail detail = StateDetail::kFull;
    EncodedWindow window;
  };
  std::vector<Recent> recent_;
  size_t next_recent_ = 0;
};

}  // namespace sidelb::rpc
