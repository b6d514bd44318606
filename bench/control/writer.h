// Writers of the control service: each puts one backend with another weight, over and over.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "sidelb/v1/control.grpc.pb.h"

namespace sidelb::bench {

namespace pb = sidelb::v1;

std::unique_ptr<pb::ControlService::Stub> Connect(const std::string& endpoint);

// One Apply of owner api:bench-`writer`; its weight is `turn`'s. Exits with the error when it
// fails.
pb::ApplyResponse PutWeight(pb::ControlService::Stub* stub, const std::string& pool, int writer,
                            int turn, pb::WaitFor wait);

// The same for a backend that is named.
pb::ApplyResponse PutWeight(pb::ControlService::Stub* stub, const std::string& pool, int writer,
                            const std::string& address, uint32_t weight, pb::WaitFor wait);

// How long each Apply took, of `clients` writers at a time for `duration`.
std::vector<absl::Duration> MeasureApplies(const std::string& endpoint, const std::string& pool,
                                           int clients, pb::WaitFor wait, absl::Duration duration);

// One writer at a steady rate, whose changes go through `addresses` in turn.
std::vector<absl::Duration> MeasureChanges(pb::ControlService::Stub* stub, const std::string& pool,
                                           const std::vector<std::string>& addresses, int rate,
                                           absl::Duration duration);

[[noreturn]] void Fail(const std::string& what);

}  // namespace sidelb::bench
