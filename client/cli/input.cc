#include "client/cli/input.h"

#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <map>
#include <set>
#include <sstream>

#include "client/cli/exit_code.h"
#include "client/cli/values.h"
#include "fmt/format.h"
#include "google/protobuf/util/json_util.h"
#include "proto/json_syntax.h"

namespace sidelb::client {
namespace {

constexpr size_t kMaxInputBytes = 64 << 20;

std::string DisplayName(const std::string& file) { return file == "-" ? "standard input" : file; }

// Parses JSON whose syntax has been checked, so that only names and values can be wrong.
absl::Status ParseMessage(const std::string& name, const std::string& json,
                          google::protobuf::Message* message) {
  const auto status = google::protobuf::util::JsonStringToMessage(json, message);
  if (status.ok()) return absl::OkStatus();
  return UsageError(fmt::format("{}: {}", name, status.message().ToString()));
}

bool Has(const std::vector<std::string>& keys, std::string_view key) {
  return std::find(keys.begin(), keys.end(), key) != keys.end();
}

// One `key=value` of a line.
absl::Status ParseAttribute(const std::string& word, pb::BackendSpec* spec) {
  const auto attribute = ParseTag(word);
  const std::string key = attribute.ok() ? attribute->first : "";
  if (key == "weight") {
    const auto weight = ParseNumber(attribute->second, 0, 65'535);
    if (!weight.ok()) {
      return absl::InvalidArgumentError("weight: " + std::string(weight.status().message()));
    }
    spec->set_weight(static_cast<uint32_t>(*weight));
  } else if (key == "max-connections") {
    const auto limit = ParseNumber(attribute->second, 0, UINT32_MAX);
    if (!limit.ok()) {
      return absl::InvalidArgumentError("max-connections: " +
                                        std::string(limit.status().message()));
    }
    spec->set_max_connections(static_cast<uint32_t>(*limit));
  } else if (key == "zone") {
    spec->set_zone(attribute->second);
  } else if (key == "group") {
    spec->set_group(attribute->second);
  } else {
    return absl::InvalidArgumentError(fmt::format(
        "\"{}\" is not allowed; allowed: weight=N, max-connections=N, zone=Z, group=G", word));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<pb::BackendSpec>> ParseLines(const std::string& name,
                                                        const std::string& text) {
  std::vector<pb::BackendSpec> backends;
  std::set<std::string> seen;
  std::istringstream lines(text);
  std::string line;
  for (size_t number = 1; std::getline(lines, line); ++number) {
    const auto fail = [&](const absl::Status& status) {
      return UsageError(
          fmt::format("{}: line {}: {}", name, number, std::string(status.message())));
    };
    std::istringstream words(line.substr(0, line.find('#')));
    std::string word;
    if (!(words >> word)) continue;
    pb::BackendSpec spec;
    auto address = ParseAddress(word, PortZero::kRefused);
    if (!address.ok()) return fail(address.status());
    spec.set_address(*std::move(address));
    while (words >> word) {
      if (auto status = ParseAttribute(word, &spec); !status.ok()) return fail(status);
    }
    if (!seen.insert(spec.address()).second) {
      return fail(absl::InvalidArgumentError(fmt::format("\"{}\" stands twice", spec.address())));
    }
    backends.push_back(std::move(spec));
  }
  return backends;
}

absl::StatusOr<std::vector<pb::BackendSpec>> ParseJsonList(const std::string& name,
                                                           const std::string& text) {
  const auto keys = CheckJson(text);
  if (!keys.ok()) {
    return UsageError(fmt::format("{}: {}", name, std::string(keys.status().message())));
  }
  const bool is_array = text[text.find_first_not_of(" \t\r\n")] == '[';
  pb::BackendSet set;
  const std::string json = is_array ? "{\"backends\":" + text + "}" : text;
  if (auto status = ParseMessage(name, json, &set); !status.ok()) return status;
  std::vector<pb::BackendSpec> backends;
  std::map<std::string, int> seen;
  for (int i = 0; i < set.backends_size(); ++i) {
    pb::BackendSpec& spec = *set.mutable_backends(i);
    auto address = ParseAddress(spec.address(), PortZero::kRefused);
    if (!address.ok()) {
      return UsageError(fmt::format("{}: backends[{}].address: {}", name, i,
                                    std::string(address.status().message())));
    }
    spec.set_address(*std::move(address));
    const auto [other, is_new] = seen.emplace(spec.address(), i);
    if (!is_new) {
      return UsageError(fmt::format("{}: backends[{}].address: \"{}\" stands also in backends[{}]",
                                    name, i, spec.address(), other->second));
    }
    backends.push_back(std::move(spec));
  }
  return backends;
}

}  // namespace

absl::StatusOr<std::string> ReadInput(const std::string& file, std::istream& standard_input) {
  std::ifstream opened;
  if (file != "-") {
    struct stat found;
    if (stat(file.c_str(), &found) == 0 && S_ISDIR(found.st_mode)) {
      return UsageError(fmt::format("cannot read {}: it is a directory", file));
    }
    errno = 0;
    opened.open(file, std::ios::binary);
    if (!opened) {
      return UsageError(fmt::format("cannot read {}: {}", file, std::strerror(errno)));
    }
  }
  std::istream& input = file == "-" ? standard_input : opened;
  std::string text;
  char buffer[64 * 1024];
  while (input.read(buffer, sizeof(buffer)) || input.gcount() > 0) {
    text.append(buffer, static_cast<size_t>(input.gcount()));
    if (text.size() > kMaxInputBytes) {
      return UsageError(
          fmt::format("{} is larger than {} MiB", DisplayName(file), kMaxInputBytes >> 20));
    }
  }
  if (input.bad()) return UsageError(fmt::format("cannot read {}", DisplayName(file)));
  return text;
}

absl::StatusOr<std::variant<pb::State, pb::ApplyRequest>> ParseApplyInput(const std::string& file,
                                                                          const std::string& text) {
  const std::string name = DisplayName(file);
  const auto keys = CheckJson(text);
  if (!keys.ok()) {
    return UsageError(fmt::format("{}: {}", name, std::string(keys.status().message())));
  }
  if (Has(*keys, "ops")) {
    pb::ApplyRequest request;
    if (auto status = ParseMessage(name, text, &request); !status.ok()) return status;
    return request;
  }
  if (!Has(*keys, "listeners") && !Has(*keys, "pools") && !Has(*keys, "backends")) {
    return UsageError(
        fmt::format("{} holds neither a state (listeners, pools, backends) nor a "
                    "request (ops)",
                    name));
  }
  pb::State state;
  if (auto status = ParseMessage(name, text, &state); !status.ok()) return status;
  return state;
}

absl::Status ParseJson(const std::string& name, const std::string& text,
                       google::protobuf::Message* message) {
  const auto keys = CheckJson(text);
  if (!keys.ok()) {
    return UsageError(fmt::format("{}: {}", name, std::string(keys.status().message())));
  }
  return ParseMessage(name, text, message);
}

absl::StatusOr<std::vector<pb::BackendSpec>> ParseBackendList(const std::string& file,
                                                              const std::string& text) {
  constexpr const char* kSpace = " \t\r\n";
  const size_t first = text.find_first_not_of(kSpace);
  bool is_json = first != std::string::npos && text[first] == '{';
  if (first != std::string::npos && text[first] == '[') {
    // A line that begins with an IPv6 address begins with a bracket too.
    const size_t second = text.find_first_not_of(kSpace, first + 1);
    is_json = second == std::string::npos || text[second] == '{' || text[second] == ']';
  }
  return is_json ? ParseJsonList(DisplayName(file), text) : ParseLines(DisplayName(file), text);
}

}  // namespace sidelb::client
