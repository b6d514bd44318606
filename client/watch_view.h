// WatchView: what a client of Watch knows, made of the messages that came, with the digest that
// proves it complete.
//
// The digest of a set of objects is the sum, modulo 2^64, of FNV-1a (64 bits) over the text
// "kind/pool/key@revision" of each: kind is "listener", "pool" or "backend", pool is empty but for
// backends, key is the name, or the address of a backend. Backends that no owner claims any more
// are not counted: they are no configuration. The daemon sends its digest with every heartbeat.
//
// Thread safety: none; one thread at a time.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "sidelb/v1/control.pb.h"

namespace sidelb::client {

namespace pb = sidelb::v1;

uint64_t Fnv1a64(std::string_view text);
// What each object adds to the digest.
uint64_t DigestOf(const pb::Listener& listener);
uint64_t DigestOf(const pb::Pool& pool);
uint64_t DigestOf(const pb::Backend& backend);

// Where a Watch may begin again: after everything up to `position`.
struct ResumeToken {
  std::string epoch;
  uint64_t position = 0;

  std::string ToString() const;  // "EPOCH/POSITION"
  friend bool operator==(const ResumeToken&, const ResumeToken&) = default;
};
// nullopt when `text` is no token.
std::optional<ResumeToken> ParseResumeToken(std::string_view text);

class WatchView {
 public:
  using BackendKey = std::pair<std::string, std::string>;  // pool, address

  // One event with what was there before it.
  struct Change {
    pb::Event event;
    std::optional<pb::Event> before;
    // Nothing was there. False without `before` means that it is not known, because the stream
    // began without a snapshot.
    bool is_new = false;
  };

  // Returns the changes of an Events message, in order; a snapshot is no change. A snapshot
  // replaces the view when its last chunk came; until then the old one stays.
  std::vector<Change> Apply(const pb::WatchResponse& message);
  // The stream was opened anew without a token, or the view proved wrong: a snapshot must come.
  void ExpectSnapshot();

  const std::map<std::string, pb::Listener>& listeners() const { return objects_.listeners; }
  const std::map<std::string, pb::Pool>& pools() const { return objects_.pools; }
  const std::map<BackendKey, pb::Backend>& backends() const { return objects_.backends; }

  // Whether a whole snapshot came, and no RESYNC since: only then is the view all that there is.
  bool is_complete() const { return is_complete_; }
  uint64_t digest() const { return objects_.digest; }
  uint64_t revision() const { return revision_; }
  // After which the view holds all that came; nullopt while a snapshot is under way.
  std::optional<ResumeToken> token() const;

 private:
  struct Objects {
    std::map<std::string, pb::Listener> listeners;
    std::map<std::string, pb::Pool> pools;
    std::map<BackendKey, pb::Backend> backends;
    uint64_t digest = 0;

    // Return what stood there.
    std::optional<pb::Event> Put(pb::Event event);
    std::optional<pb::Event> Remove(const pb::Event& event);
  };

  void ApplySnapshot(const pb::Snapshot& snapshot);

  Objects objects_;
  std::optional<Objects> incoming_;  // of a snapshot that is not complete yet
  bool is_complete_ = false;
  bool awaits_snapshot_ = false;
  std::string epoch_;
  uint64_t position_ = 0;
  uint64_t revision_ = 0;
};

}  // namespace sidelb::client
