// TcpSession: one accepted connection and its upstream: picks a backend, connects (again, to
// another backend, while nothing has been exchanged), relays, and closes for one counted reason.
//
//   connecting -> relaying -> closed
//       ^            |  \--> resetting (the other side gets its last bytes first) -> closed
//       \------------/ upstream was reset before the first byte
//
// Memory: one allocation of well under 1 KiB; no buffer while idle.
//
// Thread safety: the shard's thread. Ownership: owns itself and both sockets; it ends in the
// poller's graveyard. ShardContext and the ListenerLoad outlive it; its backend lives because the
// session holds one place of it.
#pragma once

#include <cstdint>
#include <memory>

#include "dataplane/base/address.h"
#include "dataplane/base/close_reason.h"
#include "dataplane/base/local_ref.h"
#include "dataplane/base/unique_fd.h"
#include "dataplane/net/relay.h"
#include "dataplane/net/session_settings.h"
#include "dataplane/net/shard_context.h"

namespace sidelb {

class TcpSession final : public PollTarget,
                         public TimerTarget,
                         public BackendSession,
                         public ShardSession {
 public:
  // Begins a session for an accepted socket, which Admission, ListenerLoad::active and ShardLoads
  // count already.
  static void Start(ShardContext& shard, const LocalRef<SessionSettings>& settings,
                    UniqueFd downstream, const Address& client);

  // The backend that it connects to is not to be used any more: picks another one.
  // REQUIRES: it is on BackendShard::connecting.
  void Repick() override;
  // Ends it at once, with RST to both sides.
  void Abort(CloseReason reason) override;
  void OnBackendClosed(CloseReason reason) override { Abort(reason); }
  bool can_move() const override { return false; }

  void OnEvents(uint32_t events, unsigned tag) override;
  void OnContinue() override;
  void OnTimer() override;

 private:
  enum class State : uint8_t { kConnecting, kRelaying, kResetting, kClosed };

  TcpSession(ShardContext& shard, const LocalRef<SessionSettings>& settings, UniqueFd downstream,
             const Address& client);
  ~TcpSession() override = default;

  // Connecting.
  void Connect();
  bool PickBackend();
  void OnConnectEvents(uint32_t events);
  void OnConnectError(int error);
  void LeaveBackend();
  void OnConnected(uint32_t events);

  // Relaying.
  void Handle(Relay::Outcome outcome);
  bool WatchBlockedWrites();
  void CountBytes();
  void RetryOrReset();
  void CheckTimeouts();

  // Ending.
  uint64_t DeliveryLimitMs() const;
  void ResetWhenDelivered(CloseReason reason);
  void Close(CloseReason reason, bool with_reset);

  ShardContext& shard_;
  LocalRef<SessionSettings> settings_;
  Address client_;
  UniqueFd downstream_;
  UniqueFd upstream_;
  Backend* backend_ = nullptr;     // one place of it is ours
  PoolLoad* pool_load_ = nullptr;  // of its pool
  BackendShard* backend_shard_ = nullptr;
  std::unique_ptr<Backend*[]> tried_;  // after the first failure: connect_attempts of them
  uint64_t started_ms_;
  uint64_t active_ms_;      // when bytes moved last
  uint64_t broken_ms_ = 0;  // since when a side is broken and the other is not told; 0 = no
  uint64_t counted_bytes_[2] = {0, 0};  // of the relay's, already in the counters
  uint32_t downstream_events_ = 0;      // that came while connecting
  uint32_t connect_began_us_ = 0;       // as NowUs(), which wraps around
  uint8_t attempts_ = 0;
  State state_ = State::kConnecting;
  CloseReason failure_ = CloseReason::kNoBackend;  // of the last attempt; then why it resets
  bool has_late_options_ = false;
  bool was_half_closed_ = false;
  bool has_watched_writes_ = false;  // downstream
  Relay relay_;
};

static_assert(sizeof(TcpSession) < 512);

}  // namespace sidelb
