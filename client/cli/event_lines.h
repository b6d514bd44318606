// Events of a Watch as lines for people, and as lines for programs.
//
// Thread safety: pure functions.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "absl/time/time.h"
#include "client/cli/json_output.h"
#include "client/cli/table.h"
#include "client/watch_view.h"
#include "sidelb/v1/control.pb.h"

namespace sidelb::client {

// "web/10.0.0.5:80" of a backend, the name of anything else.
std::string NameOf(const pb::Event& event);

// What a person wants to know of a change, in order; empty when nothing of that kind changed, as
// with the time of the last probe.
std::vector<std::string> ChangeTexts(const WatchView::Change& change);

// H, U or ? for a backend's health (U also when it is ejected), - for what has none.
Table::Cell HealthLetter(const pb::Event& event);

struct EventLineLayout {
  size_t name_width = 24;
  Colour colour = Colour::kNever;
  absl::TimeZone zone;
};
// "16:20:31.123  U  backend   web/10.0.0.5:80  serving -> unhealthy (timeout)  by api:cli", with a
// line end; empty when the change has no text.
std::string EventLine(const WatchView::Change& change, absl::Time time, std::string_view actor,
                      const EventLineLayout& layout);

// A few lines that sum up what there is.
std::string SummaryLines(const WatchView& view, Colour colour);

// `message` as JSON with a last member "resumeToken".
std::string TokenLine(const google::protobuf::Message& message, std::string_view token,
                      JsonLayout layout);

}  // namespace sidelb::client
