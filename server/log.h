// The log: events that a person cares about, one line each, to stderr. It is asynchronous and
// drops its oldest lines when stderr stalls, so that no thread of ours ever waits for a reader.
//
// Thread safety: StartLog() and StopLog() by main, before and after all other threads; in between
// any thread may use spdlog::info() and its like.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "server/options.h"
#include "spdlog/formatter.h"

namespace sidelb::server {

// Coloured only when stderr is a terminal and NO_COLOR is not set.
void StartLog(LogLevel level, LogFormat format);
// Writes out what is queued.
void StopLog();

// `text` as it stands between the quotes of a JSON string.
std::string JsonEscape(std::string_view text);
// One JSON object a line: time (RFC 3339, UTC), level, message.
std::unique_ptr<spdlog::formatter> MakeJsonFormatter();

}  // namespace sidelb::server
