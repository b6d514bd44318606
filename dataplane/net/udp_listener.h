// UdpListener: the socket of one UDP listener on one shard: receives in batches, finds or begins
// the session of each datagram, and bounds how many there are.
//
// A client's datagrams reach one shard, because the kernel spreads SO_REUSEPORT sockets by the
// addresses. Under a flood of forged sources the caps hold and sessions that nothing answered give
// way first.
//
// Before the process stops it lingers: datagrams of its sessions pass, others are dropped. A
// session then ends when it was answered and quiet for a second, an unanswered one as ever; with
// the last one the socket closes, so that clients hear "port unreachable" and turn to another
// server.
//
// Thread safety: the shard's thread. Ownership: the shard until Close(), which ends its sessions.
#pragma once

#include <cstdint>

#include "absl/container/flat_hash_map.h"
#include "dataplane/base/local_ref.h"
#include "dataplane/base/unique_fd.h"
#include "dataplane/net/shard_listener.h"
#include "dataplane/net/udp_session.h"

namespace sidelb {

class UdpListener final : public PollTarget, public TimerTarget, public ShardListener {
 public:
  UdpListener(ShardContext& shard, UniqueFd socket, const ListenerSettings& settings,
              ListenerLoad* load);

  int Open() override;
  void Update(const ListenerSettings& settings, ListenerLoad* load) override;
  // Forwards what is queued, then ends the sessions and closes the socket.
  void Close() override;
  bool Linger() override;

  void OnEvents(uint32_t events, unsigned tag) override;
  void OnContinue() override;
  void OnTimer() override;

  // For its sessions.
  int fd() const { return socket_.get(); }
  bool is_lingering() const { return is_lingering_; }
  void Forget(UdpSession* session);
  // Ends the session that has waited longest for its first answer, other than `except`; false when
  // there is none.
  bool EvictOldestUnanswered(const UdpSession* except);
  // For UdpResources: answers that the kernel did not take.
  void CountDropped(size_t datagrams);
  // For UdpResources: segments of more than `largest` bytes cannot be sent to this client.
  void LimitSegments(const RawPeer& peer, const LocalAddress& local, uint16_t largest);

 private:
  ~UdpListener() override = default;
  bool ReceiveSome();
  void ReceiveQueued();
  void ForwardBatch(int count);
  void ForwardEach(UdpSession* session, Train train);
  UdpSession* FindOrBegin(int slot, UdpSession* last);
  UdpSession* Begin(const UdpKey& key, const RawPeer& peer);
  void CountClients();

  ShardContext& shard_;
  UniqueFd socket_;
  LocalRef<SessionSettings> settings_;
  absl::flat_hash_map<UdpKey, UdpSession*> sessions_;
  absl::flat_hash_map<Address, uint32_t> per_client_;  // without ports; while there is a limit
  IntrusiveList<UdpSession, &UdpSession::unanswered_hook> unanswered_;
  bool is_lingering_ = false;
};

}  // namespace sidelb
