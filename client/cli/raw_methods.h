// The methods of the API that `raw` calls, by the service's own description.
//
// Thread safety: pure functions.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "google/protobuf/descriptor.h"

namespace sidelb::client {

// "Apply", "GetState", ...
std::vector<std::string> RawMethods();
// nullptr when there is none of this name.
const google::protobuf::MethodDescriptor* FindRawMethod(std::string_view name);

}  // namespace sidelb::client
