// JSON by hand, for lines of the log.
//
// Pure.
#pragma once

#include <string>
#include <string_view>

namespace sidelb::control {

// `text` as it stands between the quotes of a JSON string.
std::string JsonEscape(std::string_view text);

}  // namespace sidelb::control
