// UdpSession: the datagrams between one client and one backend: a connected upstream socket, the
// address to answer from, and when it ends.
//
// It keeps its backend until it is idle. When the backend is closed, unhealthy, or answers with
// ICMP port unreachable, the session goes on with another one at the next datagram; a datagram in
// hand is not lost, for it is sent again. Policies: listener_settings.h.
//
// Thread safety: the shard's thread. Ownership: owns itself; its listener lists it and ends it.
#pragma once

#include <cstdint>

#include "dataplane/base/address.h"
#include "dataplane/base/close_reason.h"
#include "dataplane/base/local_ref.h"
#include "dataplane/base/unique_fd.h"
#include "dataplane/net/session_settings.h"
#include "dataplane/net/shard_context.h"
#include "dataplane/net/udp_sender.h"

namespace sidelb {

class UdpListener;

// What tells sessions of one listener apart.
struct UdpKey {
  Address client;
  LocalAddress local;
  friend bool operator==(const UdpKey&, const UdpKey&) = default;
  template <typename H>
  friend H AbslHashValue(H h, const UdpKey& key) {
    return H::combine(std::move(h), key.client, key.local);
  }
};

class UdpSession final : public PollTarget,
                         public TimerTarget,
                         public BackendSession,
                         public ShardSession {
 public:
  // Admission and ListenerLoad::active count it already.
  UdpSession(ShardContext& shard, UdpListener& listener, const LocalRef<SessionSettings>& settings,
             const UdpKey& key, const RawPeer& peer);

  // Sends what is queued in UdpResources::to_backend, picking a backend when there is none.
  void Forward();
  void Close(CloseReason reason);

  const UdpKey& key() const { return key_; }
  bool is_per_packet() const { return settings_->listener.udp_policy == UdpPolicy::kPerPacket; }
  // The largest segment that may be tried towards the backend.
  uint16_t backend_segment() const { return backend_segment_; }
  // Larger segments cannot be sent to the client.
  void LimitClientSegments(uint16_t largest) { client_segment_ = largest; }
  bool is_closed() const { return is_closed_; }
  bool is_answered() const { return is_answered_; }

  void OnEvents(uint32_t events, unsigned tag) override;
  void OnContinue() override;
  void OnTimer() override;
  void Repick() override {}
  void OnBackendClosed(CloseReason reason) override;
  bool can_move() const override { return true; }
  void Abort(CloseReason reason) override { Close(reason); }

  ListHook unanswered_hook;

 private:
  ~UdpSession() override = default;

  bool Connect();
  bool ConnectTo(Backend* backend, PoolLoad* pool_load);
  void OnRefused();
  void LeaveBackend();
  void ReceiveAnswers();
  void CountIn(size_t datagrams, size_t bytes);
  void CountAnswers(size_t datagrams, size_t bytes);
  uint64_t Deadline() const;

  ShardContext& shard_;
  UdpListener* listener_;
  LocalRef<SessionSettings> settings_;
  UdpKey key_;
  RawPeer peer_;
  UniqueFd upstream_;
  Backend* backend_ = nullptr;     // one place of it is ours
  PoolLoad* pool_load_ = nullptr;  // of its pool
  BackendShard* backend_shard_ = nullptr;
  Backend* refused_by_ = nullptr;  // only compared
  uint64_t active_ms_;
  uint64_t awaited_answers_ = 0;  // of its backend: one for each datagram that was sent there
  bool is_answered_ = false;      // with request-response: to the last datagram
  bool is_closed_ = false;
  bool has_gro_ = false;  // the upstream socket gets trains
  uint16_t backend_segment_ = UdpSender::kAnySegment;
  uint16_t client_segment_ = UdpSender::kAnySegment;
  // Why the last datagram found no backend; kUnspecified when it found one.
  CloseReason failure_ = CloseReason::kUnspecified;
};

}  // namespace sidelb
