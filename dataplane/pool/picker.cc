#include "dataplane/pool/picker.h"

#include "dataplane/pool/grouped_p2c.h"
#include "dataplane/pool/least_connections.h"
#include "dataplane/pool/maglev.h"
#include "dataplane/pool/random_pickers.h"
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

std::unique_ptr<const Picker> MakePicker(Mode mode, const PickSettings& settings,
                                         absl::Span<const Member> eligible, size_t pool_size,
                                         PoolLoad* load) {
  switch (mode) {
    case Mode::kRoundRobin:
      break;
    case Mode::kLeastConnections:
      return std::make_unique<LeastConnectionsPicker>(eligible, load, settings.group_by_ip);
    case Mode::kP2c:
      if (settings.group_by_ip) return std::make_unique<GroupedP2cPicker>(eligible);
      return std::make_unique<P2cPicker>(eligible);
    case Mode::kRandom:
      return std::make_unique<RandomPicker>(eligible);
    case Mode::kSourceHash:
    case Mode::kMaglev:
      return std::make_unique<MaglevPicker>(eligible, pool_size, settings.hash_key,
                                            settings.hash_table_size);
  }
  return std::make_unique<RoundRobinPicker>(eligible, load);
}

}  // namespace sidelb
