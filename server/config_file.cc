#include "server/config_file.h"

#include <google/protobuf/util/json_util.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <fstream>
#include <map>
#include <utility>

#include "fmt/format.h"
#include "proto/json_syntax.h"
#include "server/control/errors.h"
#include "server/rpc/convert_resources.h"
#include "server/rpc/convert_values.h"
#include "server/rpc/supported_fields.h"
#include "sidelb/v1/resources.pb.h"

namespace sidelb::server {
namespace {

namespace pb = sidelb::v1;
using rpc::FieldPath;

constexpr size_t kMaxBytes = 64 << 20;

// What is wrong, without the words of the API around it.
std::string WordsOf(const absl::Status& status) {
  const auto details = control::GetErrorDetails(status);
  if (!details.has_value() || details->violations.empty()) return std::string(status.message());
  const control::FieldViolation& first = details->violations.front();
  return fmt::format("{}: {}", first.field, first.description);
}

class Reader {
 public:
  Reader(const pb::State& state, const ConfigNames& before) : state_(state), before_(before) {}

  absl::StatusOr<Config> Run() {
    if (absl::Status status = rpc::CheckWrite(state_); !status.ok()) return status;
    if (absl::Status status = ReadPools(); !status.ok()) return status;
    if (absl::Status status = ReadListeners(); !status.ok()) return status;
    if (absl::Status status = ReadBackends(); !status.ok()) return status;
    MakeOps();
    return std::move(config_);
  }

 private:
  absl::Status ReadPools() {
    for (int i = 0; i < state_.pools_size(); ++i) {
      const FieldPath root, path = root.Field("pools", i);
      auto spec = rpc::FromProto(state_.pools(i), path);
      if (!spec.ok()) return spec.status();
      if (!config_.names.pools.insert(spec->name).second) return StandsTwice(path, spec->name);
      backends_[spec->name].pool = spec->name;
      pools_.push_back({path.ToString(), {.op = control::PutPool{.spec = *std::move(spec)}}});
    }
    return absl::OkStatus();
  }

  absl::Status ReadListeners() {
    for (int i = 0; i < state_.listeners_size(); ++i) {
      const FieldPath root, path = root.Field("listeners", i);
      auto spec = rpc::FromProto(state_.listeners(i), path);
      if (!spec.ok()) return spec.status();
      if (!config_.names.listeners.insert(spec->name).second) return StandsTwice(path, spec->name);
      listeners_.push_back(
          {path.ToString(), {.op = control::PutListener{.spec = *std::move(spec)}}});
    }
    return absl::OkStatus();
  }

  absl::Status ReadBackends() {
    for (int i = 0; i < state_.backends_size(); ++i) {
      const FieldPath root, path = root.Field("backends", i);
      if (absl::Status status = ReadBackend(state_.backends(i), path); !status.ok()) return status;
    }
    return absl::OkStatus();
  }

  absl::Status ReadBackend(const pb::Backend& backend, const FieldPath& path) {
    if (backend.status().state() == pb::BACKEND_STATE_REMOVING) return absl::OkStatus();
    if (backend.has_override()) ++config_.overrides_left_out;
    if (!config_.names.pools.contains(backend.pool())) {
      return control::BadField(path.Field("pool").ToString(),
                               fmt::format("'{}' is not one of the file's pools", backend.pool()));
    }
    const auto is_read = [](const pb::Claim& claim) { return !claim.owner().starts_with("ring:"); };
    const auto& claims = backend.claims();
    const auto claim = std::find_if(claims.begin(), claims.end(), is_read);
    if (claim == claims.end() && !claims.empty()) return absl::OkStatus();  // of a ring domain
    pb::BackendSpec proto;
    if (claim != claims.end()) proto = claim->spec();
    if (proto.address().empty()) proto.set_address(backend.address());
    auto spec = rpc::FromProto(proto, path);
    if (!spec.ok()) return spec.status();
    const auto address = rpc::AddressFromProto(backend.address(), path.Field("address"));
    if (!address.ok()) return address.status();
    if (*address != spec->address) {
      return control::BadField(path.Field("claims").ToString(),
                               fmt::format("spec.address '{}' is not the backend's '{}'",
                                           spec->address.ToString(), address->ToString()));
    }
    if (!seen_[backend.pool()].insert(spec->address).second) {
      return StandsTwice(path, fmt::format("{}/{}", backend.pool(), spec->address.ToString()));
    }
    backends_[backend.pool()].backends.push_back(*std::move(spec));
    ++config_.backends;
    return absl::OkStatus();
  }

  static absl::Status StandsTwice(const FieldPath& path, const std::string& name) {
    return control::BadField(path.ToString(), fmt::format("'{}' stands twice", name));
  }

  // Listeners that go first, so that others may take their addresses; pools that go last.
  void MakeOps() {
    control::ApplyRequest& request = config_.request;
    request.owner = "static";
    request.is_provider = true;
    const auto add = [&](std::string place, control::Op op) {
      config_.places.push_back(std::move(place));
      request.ops.push_back(std::move(op));
    };
    for (const std::string& name : before_.listeners) {
      if (config_.names.listeners.contains(name)) continue;
      add(fmt::format("listener '{}', which is not in it any more", name),
          {.op = control::RemoveListener{name}});
    }
    for (Placed& pool : pools_) add(std::move(pool.place), std::move(pool.op));
    for (auto& [pool, backends] : backends_) {
      add(fmt::format("backends of pool '{}'", pool), {.op = std::move(backends)});
    }
    for (Placed& listener : listeners_) add(std::move(listener.place), std::move(listener.op));
    for (const std::string& name : before_.pools) {
      if (config_.names.pools.contains(name)) continue;
      const std::string place = fmt::format("pool '{}', which is not in it any more", name);
      add(place, {.op = control::ReplaceBackends{.pool = name}});
      add(place, {.op = control::RemovePool{.pool = name}});
    }
  }

  struct Placed {
    std::string place;
    control::Op op;
  };

  const pb::State& state_;
  const ConfigNames& before_;
  Config config_;
  std::vector<Placed> pools_, listeners_;
  std::map<std::string, control::ReplaceBackends> backends_;
  std::map<std::string, std::set<Address>> seen_;
};

}  // namespace

absl::StatusOr<std::string> ReadConfigFile(const std::string& file) {
  struct stat found;
  std::ifstream input;
  errno = stat(file.c_str(), &found) == 0 && S_ISDIR(found.st_mode) ? EISDIR : 0;
  if (errno == 0) input.open(file, std::ios::binary);
  if (!input.is_open()) {
    return absl::ErrnoToStatus(errno, fmt::format("cannot read the configuration {}", file));
  }
  std::string text;
  char buffer[64 * 1024];
  while (input.read(buffer, sizeof(buffer)) || input.gcount() > 0) {
    text.append(buffer, static_cast<size_t>(input.gcount()));
    if (text.size() > kMaxBytes) {
      return absl::InvalidArgumentError(
          fmt::format("{}: is larger than {} MiB", file, kMaxBytes >> 20));
    }
  }
  if (input.bad()) return absl::DataLossError(fmt::format("cannot read {}", file));
  return text;
}

absl::StatusOr<Config> ParseConfig(const std::string& file, const std::string& text,
                                   const ConfigNames& before) {
  const auto fail = [&file](absl::string_view what) {
    return absl::InvalidArgumentError(fmt::format("{}: {}", file, std::string(what)));
  };
  if (const auto keys = CheckJson(text); !keys.ok()) return fail(keys.status().message());
  pb::State state;
  const auto parsed = google::protobuf::util::JsonStringToMessage(text, &state);
  if (!parsed.ok()) return fail(parsed.message().ToString());
  if (state.listeners().empty() && state.pools().empty()) {
    return fail("names no listener and no pool; a file by mistake empty shall not end all traffic");
  }
  auto config = Reader(state, before).Run();
  if (!config.ok()) return fail(WordsOf(config.status()));
  return config;
}

absl::Status InWordsOfFile(const std::string& file, const Config& config,
                           const absl::Status& status) {
  if (status.ok()) return status;
  const std::string words = WordsOf(status);
  size_t index = 0;
  const char* const end = words.data() + words.size();
  if (!words.starts_with("ops[")) return absl::Status(status.code(), file + ": " + words);
  const auto [rest, error] = std::from_chars(words.data() + 4, end, index);
  if (error != std::errc() || index >= config.places.size()) {
    return absl::Status(status.code(), file + ": " + words);
  }
  // "ops[3].put_pool.health_check.rise: 0 is ..." without the op.
  std::string_view tail(rest, static_cast<size_t>(end - rest));
  tail.remove_prefix(std::min(tail.find_first_of(".:", 2), tail.size()));
  return absl::Status(status.code(), fmt::format("{}: {}{}", file, config.places[index], tail));
}

}  // namespace sidelb::server
