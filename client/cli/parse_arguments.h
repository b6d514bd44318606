// Turns a command line of sidelb-cli into Arguments. A flag stands over its environment variable,
// that over the default.
//
// Thread safety: a pure function of its arguments.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "absl/status/statusor.h"
#include "client/cli/arguments.h"

namespace sidelb::client {

struct HelpText {
  std::string text;
};

using GetVariable = std::function<std::optional<std::string>(const char* name)>;

// `words` are the arguments without the program's name. Variables that it reads: SIDELB_TIMEOUT,
// SIDELB_OUTPUT, SIDELB_OWNER. Errors are UsageError() and name the option, the value and what is
// allowed.
absl::StatusOr<std::variant<Arguments, HelpText>> ParseArguments(
    const std::vector<std::string>& words, const GetVariable& get_variable);

}  // namespace sidelb::client
