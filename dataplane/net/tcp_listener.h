// TcpListener: the listening socket of one listener on one shard: accepts in bounded turns, keeps
// the limits, begins sessions.
//
// At the process cap, and when descriptors or memory run out, it stops accepting and the kernel
// queues; it looks again when a session of its shard ends, at latest after 100 ms.
//
// A connection lives on the shard that accepted it, unless that one has noticeably more sessions
// than another: then it is handed over (ShardLoads).
//
// Thread safety: the shard's thread. Ownership: created by Open(), owned by the shard until
// Close(), which ends it in the poller's graveyard.
#pragma once

#include "dataplane/base/local_ref.h"
#include "dataplane/base/unique_fd.h"
#include "dataplane/net/shard_context.h"
#include "dataplane/net/shard_listener.h"
#include "dataplane/net/tcp_session.h"

namespace sidelb {

class TcpListener final : public PollTarget,
                          public TimerTarget,
                          public PausedListener,
                          public ShardListener {
 public:
  TcpListener(ShardContext& shard, UniqueFd socket, const ListenerSettings& settings,
              ListenerLoad* load);

  // Begins the session of a connection that another shard accepted for this one.
  static void Take(ShardContext& shard, AcceptedConnection connection);

  int Open() override;
  void Update(const ListenerSettings& settings, ListenerLoad* load) override;
  // Accepts what is queued, then closes the socket and ends this object.
  void Close() override;

  void OnEvents(uint32_t events, unsigned tag) override;
  void OnContinue() override;
  void OnTimer() override;
  void Resume() override;

 private:
  enum class Turn : uint8_t { kDrained, kPaused, kMore };

  ~TcpListener() override = default;
  Turn AcceptSome(int limit, int* accepted);
  void AcceptAndPlanNext();
  static void HandOver(ShardContext& shard, size_t to, AcceptedConnection connection);
  uint64_t load_serial() const { return settings_->load->serial; }
  void Watch(bool is_watching);
  void Begin(UniqueFd accepted, const Address& client);

  ShardContext& shard_;
  UniqueFd socket_;
  LocalRef<SessionSettings> settings_;
  bool is_listening_ = false;
  bool is_closing_ = false;
  bool is_watching_ = true;
  int accepts_per_turn_ = 1;
  int full_turns_ = 0;  // in a row that left connections in the queue
  uint64_t last_full_turn_ = 0;
};

}  // namespace sidelb
