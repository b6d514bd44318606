// StatePages: the pages of GetState. A read that does not fit into one page is pinned, so that all
// its pages show one revision whatever happens meanwhile; a token names the pin and the place.
//
// A pin lasts kPinTime after its last use. At most kMaxPins are kept; one more ends the oldest.
//
// Thread safety: any thread. Time is an argument, of a steady clock.
// Ownership: one per service. A pin shares the StateView.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <random>
#include <string>

#include "absl/status/statusor.h"
#include "server/control/model.h"
#include "server/rpc/convert_state.h"
#include "sidelb/v1/control.pb.h"

namespace sidelb::rpc {

class StatePages {
 public:
  using Time = std::chrono::steady_clock::time_point;
  static constexpr std::chrono::seconds kPinTime{60};
  static constexpr size_t kMaxPins = 32;
  // A page ends before it exceeds this, unless one object alone does: clients accept 4 MiB.
  static constexpr size_t kMaxPageBytes = 3 << 20;

  // The first page of a read. `selection` is what was asked for, in any form: the next pages must
  // ask for the same.
  pb::GetStateResponse First(std::shared_ptr<const control::StateView> view, StateDetail detail,
                             std::string selection, size_t page_size, Time now);

  // The page that `token` names. INVALID_ARGUMENT (BAD_TOKEN) for what First() or Next() never
  // gave, or gave to another selection; OUT_OF_RANGE (PAGE_EXPIRED) when its pin has ended.
  absl::StatusOr<pb::GetStateResponse> Next(const std::string& token, const std::string& selection,
                                            size_t page_size, Time now);

  // Ends the pins whose time is up.
  void Expire(Time now);

  size_t pins() const;

 private:
  struct Read {
    std::shared_ptr<const control::StateView> view;
    StateDetail detail = StateDetail::kFull;
    std::string selection;
  };
  struct Pin {
    std::shared_ptr<const Read> read;
    Time last_use;
  };

  // Fills the objects in, from `offset` on; returns the offset of the next page, 0 at the end.
  static size_t Fill(const Read& read, size_t offset, size_t page_size,
                     pb::GetStateResponse* response);
  void ExpireLocked(Time now);
  uint64_t PinLocked(std::shared_ptr<const Read> read, Time now);

  mutable std::mutex mutex_;
  std::map<uint64_t, Pin> pins_;  // by a random number, so that none of another run is valid
  std::mt19937_64 random_{std::random_device{}()};
};

}  // namespace sidelb::rpc
