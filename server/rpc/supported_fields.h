// What of the API this daemon has built, and the check that a write asks for nothing else.
//
// The proto is complete from the start (decision 19); a table in the .cc says which fields of it a
// write may set. CheckWrite() walks a request by reflection and compares. Whoever builds a feature
// adds its fields to the table and its name to Capabilities().
//
// Thread safety: pure functions.
#pragma once

#include <google/protobuf/message.h>

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/types/span.h"

namespace sidelb::rpc {

// INVALID_ARGUMENT (BAD_FIELD) when `write` or a message in it has a field that is not in our
// proto, as newer clients may send: to ignore it would do something else than was asked.
// UNIMPLEMENTED (CAPABILITY) when it sets fields that are not built yet; the violations name them.
// Fields that are output only are passed over, with all that they hold.
absl::Status CheckWrite(const google::protobuf::Message& write);

// One row of the table, for its test.
struct SupportedFields {
  std::string_view message;                // "sidelb.v1.Listener"
  std::vector<std::string_view> writable;  // by name; the rest is not built yet
  std::vector<std::string_view> output_only = {};
};
absl::Span<const SupportedFields> SupportedFieldsTable();

// What GetInfo lists: "rpc:Apply", "op:put_listener", "mode:round-robin", "protocol:tcp",
// "wait:applied" and so on. What is not in it answers UNIMPLEMENTED.
std::vector<std::string> Capabilities();

}  // namespace sidelb::rpc
