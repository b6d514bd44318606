// What the fuzz targets share. A target is a file NAME_fuzz.cc with LLVMFuzzerTestOneInput(); its
// first inputs are in corpus/NAME. It must neither crash nor break a promise, whatever it is given,
// and depend on nothing but its input.
//
// Thread safety: one thread.
#pragma once

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "fmt/format.h"

namespace sidelb::fuzz {

inline std::string_view Text(const uint8_t* data, size_t size) {
  return {reinterpret_cast<const char*>(data), size};
}

// Ends the process unless the promise `holds`; libFuzzer keeps the input.
inline void Require(bool holds, std::string_view promise, std::string_view value = "") {
  if (holds) return;
  const std::string line = fmt::format("broken promise: {}: {}\n", promise, value);
  std::fwrite(line.data(), 1, line.size(), stderr);
  std::abort();
}

// A command line with its environment: each line is an argument, "$NAME=VALUE" a variable.
struct CommandLine {
  explicit CommandLine(std::string_view text) {
    while (!text.empty()) {
      const size_t end = text.find('\n');
      const std::string_view line = text.substr(0, end);
      text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
      const size_t equal = line.find('=');
      if (line.starts_with('$') && equal != std::string_view::npos) {
        variables[std::string(line.substr(1, equal - 1))] = line.substr(equal + 1);
      } else {
        arguments.emplace_back(line);
      }
    }
  }

  std::optional<std::string> Variable(const char* name) const {
    const auto found = variables.find(name);
    return found == variables.end() ? std::nullopt : std::optional(found->second);
  }

  std::vector<std::string> arguments;
  std::map<std::string, std::string> variables;
};

}  // namespace sidelb::fuzz
