#include "dataplane/pool/picker.h"

#include "dataplane/pool/least_connections.h"
#include "dataplane/pool/round_robin.h"

namespace sidelb {

std::string_view ModeName(Mode mode) {
  switch (mode) {
    case Mode::kRoundRobin:
      return "round-robin";
    case Mode::kLeastConnections:
      return "least-connections";
    case Mode::kP2c:
      return "p2c";
    case Mode::kRandom:
      return "random";
    case Mode::kSourceHash:
      return "source-hash";
    case Mode::kMaglev:
      return "maglev";
  }
  return "round-robin";
}

std::optional<Mode> ParseMode(std::string_view name) {
  std::string canonical;
  for (char c : name) {
    if (c == '_' || c == '-') continue;
    canonical += c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  }
  if (canonical == "roundrobin" || canonical == "rr") return Mode::kRoundRobin;
  if (canonical == "leastconnections" || canonical == "leastconn") return Mode::kLeastConnections;
  if (canonical == "p2c") return Mode::kP2c;
  if (canonical == "random") return Mode::kRandom;
  if (canonical == "sourcehash" || canonical == "source") return Mode::kSourceHash;
  if (canonical == "maglev") return Mode::kMaglev;
  return std::nullopt;
}

std::unique_ptr<const Picker> MakePicker(Mode mode, absl::Span<const Member> eligible,
                                         PoolLoad* load) {
  if (mode == Mode::kLeastConnections) {
    return std::make_unique<LeastConnectionsPicker>(eligible, load);
  }
  return std::make_unique<RoundRobinPicker>(eligible, load);
}

}  // namespace sidelb
