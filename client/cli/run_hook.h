// Runs a command of the user's for an event, and waits for its end.
//
// Thread safety: RunHook() one at a time; the others are pure functions.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "sidelb/v1/control.pb.h"

namespace sidelb::client {

namespace pb = sidelb::v1;

// What a process inherits from this one, with `own` ("NAME=value") instead of what has their names.
std::vector<std::string> EnvironmentWith(const std::vector<std::string>& own);

// What a hook is told of `event`, as SIDELB_EVENT_KIND=put.
std::vector<std::string> HookVariables(const pb::Event& event, std::string_view resume_token);

// Has /bin/sh run `command` with `input` as its standard input. Empty when it exited with 0, or was
// ended by Ctrl-C, which ends this program too; else what went wrong: "it exited with 3".
std::string RunHook(const std::string& command, std::string_view input,
                    const std::vector<std::string>& variables);

}  // namespace sidelb::client
