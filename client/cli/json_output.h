// Messages as canonical proto3 JSON: lowerCamelCase, 64-bit numbers as strings.
//
// Thread safety: pure functions.
#pragma once

#include <string>

#include "google/protobuf/message.h"

namespace sidelb::client {

// kLine is one line without spaces.
enum class JsonLayout { kIndented, kLine };
// kAll also prints fields that hold their type's default, so that a reader finds every field;
// optional ones and messages that are absent stay away.
enum class JsonFields { kSet, kAll };

// Ends with a line end. Equal messages give equal texts.
std::string ToJson(const google::protobuf::Message& message, JsonLayout layout, JsonFields fields);

}  // namespace sidelb::client
