// Relay: moves bytes both ways between two connected, non-blocking stream sockets.
//
// - Data goes through the shard's scratch buffer; a direction has a buffer of its own only while
//   bytes could not be written. While idle a relay holds no buffer and no pipe.
// - A direction that has filled the scratch buffer twice in a row goes over to splice(2) through a
//   pooled pipe, and back when the chunks have turned small: one small chunk in a row of large ones
//   is how a stream runs dry for a moment, and copying the next 128 KiB costs more than it does.
// - One call moves at most kBudgetBytes or kBudgetReads reads a direction, so that a bulk stream
//   does not starve others; the rest is left to Continue().
// - FIN on one side becomes FIN on the other, after the data before it. A reset of one side is
//   told by outcome kReset once all that came before it has been handed to the kernel of the other
//   side; the caller then resets that one when the kernel has sent it (IsSendQueueEmpty()).
//
// Thread safety: the shard's thread. Ownership: the session owns it and both descriptors; the
// relay only uses them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

#include "dataplane/net/pipe_pool.h"

namespace sidelb {

// What the relays of a shard share.
struct RelayResources {
  static constexpr size_t kScratchBytes = 64 * 1024;

  explicit RelayResources(PipeBudget& budget)
      : scratch(std::make_unique<char[]>(kScratchBytes)), pipes(budget) {}

  std::unique_ptr<char[]> scratch;
  PipePool pipes;
};

enum class Side : uint8_t { kDownstream = 0, kUpstream = 1 };
inline Side Other(Side side) {
  return side == Side::kDownstream ? Side::kUpstream : Side::kDownstream;
}

class Relay {
 public:
  enum class Outcome : uint8_t {
    kOpen,      // waits for events
    kYield,     // has more to do: call Continue() after the others had their turn
    kFinished,  // both directions passed their FIN; close both
    kReset,     // broken_side() is broken, what it sent before has been passed on
  };

  explicit Relay(RelayResources& resources) : resources_(resources) {}
  ~Relay();
  Relay(const Relay&) = delete;
  Relay& operator=(const Relay&) = delete;

  // Begins to relay. Nothing is read before the first events of a side.
  void Start(int downstream_fd, int upstream_fd);
  // Takes the epoll events of one side and moves what can be moved.
  Outcome OnEvents(Side side, uint32_t events);
  // Goes on after kYield.
  Outcome Continue();
  // Gives pipes and buffers back; the sockets may be closed or replaced. Start() may follow.
  void Stop();

  // Bytes handed to the kernel of the other side since Start().
  uint64_t bytes_from(Side side) const { return directions_[Index(side)].bytes; }
  // Whether any byte or FIN was taken from either side since Start().
  bool has_taken_anything() const { return has_taken_anything_; }
  // Whether that side took all that it was handed; when not, an EPOLLOUT has to come for it.
  bool is_writable(Side side) const { return peers_[Index(side)].is_writable; }
  // Exactly one direction has passed its FIN.
  bool is_half_closed() const { return directions_[0].is_fin_sent != directions_[1].is_fin_sent; }
  // After a side broke: which one was first, and its errno (ECONNRESET, EPIPE, ETIMEDOUT, ...).
  bool is_broken() const { return broken_ != kNobody; }
  Side broken_side() const { return static_cast<Side>(broken_); }
  int error() const { return error_; }
  // Whether both sides broke: nobody is left to deliver to.
  bool is_broken_on_both_sides() const { return peers_[0].is_broken && peers_[1].is_broken; }

 private:
  static constexpr size_t kBudgetBytes = 256 * 1024;
  static constexpr int kBudgetReads = 8;
  static constexpr int kFullReadsToSplice = 2;
  static constexpr size_t kSmallSplice = 8 * 1024;
  static constexpr int kSmallSplicesToCopy = 8;
  static constexpr uint8_t kNobody = 2;

  // What is known of one socket.
  struct Peer {
    int fd = -1;
    bool is_readable = false;
    bool is_writable = false;
    bool is_hung_up = false;  // RDHUP, HUP or ERR came: an end stands behind the data
    bool is_broken = false;   // reset, timed out
  };

  // The way from one peer to the other.
  struct Direction {
    uint64_t bytes = 0;
    std::unique_ptr<char[]> buffer;  // what could not be written
    uint32_t buffer_begin = 0;
    uint32_t buffer_end = 0;
    bool is_splicing = false;
    bool is_fin_taken = false;
    bool is_fin_sent = false;
    uint8_t full_reads = 0;      // in a row
    uint8_t small_splices = 0;   // in a row
    std::unique_ptr<Pipe> pipe;  // while it has bytes in it
  };

  enum class Step : uint8_t { kDone, kYield };

  static size_t Index(Side side) { return static_cast<size_t>(side); }
  Outcome Run();
  Step Pump(size_t from);
  bool Flush(size_t from);
  void Copy(size_t from, size_t* moved);
  void Splice(size_t from, size_t* moved);
  static void CopyFromHereOn(Direction& direction);
  bool KeepUnsent(Direction& direction, const char* data, size_t size);
  void TakeEnd(size_t from);
  void Break(size_t side, int error);
  bool IsDelivered(size_t from) const;
  static bool HasPending(const Direction& direction) {
    return direction.buffer != nullptr || direction.pipe != nullptr;
  }

  RelayResources& resources_;
  Peer peers_[2];
  Direction directions_[2];  // by the side that the bytes come from
  bool has_taken_anything_ = false;
  uint8_t broken_ = kNobody;
  int error_ = 0;
};

// Whether the kernel has nothing left to send on `fd` (SIOCOUTQ is 0).
bool IsSendQueueEmpty(int fd);

}  // namespace sidelb
