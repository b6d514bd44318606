// The log: events that a person cares about, one line each, to stderr. It is asynchronous and
// drops its oldest lines when stderr stalls, so that no thread of ours ever waits for a reader.
//
// Thread safety: StartLog() and StopLog() by main, before and after all other threads; in between
// any thread may use spdlog::info() and its like.
#pragma once

#include <memory>
#include <string>

#include "server/control/json.h"
#include "server/options.h"
#include "spdlog/formatter.h"

namespace sidelb::server {

// Coloured only when stderr is a terminal and NO_COLOR is not set.
void StartLog(LogLevel level, LogFormat format);
// Writes out what is queued.
void StopLog();

using control::JsonEscape;
// One JSON object a line: time (RFC 3339, UTC), level, message. The logger `audit` writes objects
// itself: they stand in place of the message, under the name of the logger.
std::unique_ptr<spdlog::formatter> MakeJsonFormatter();

}  // namespace sidelb::server
