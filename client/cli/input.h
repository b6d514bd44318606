// Reads what -f names and turns it into messages. Every error is a UsageError() that names the file
// and, where the text is wrong, the line.
//
// Thread safety: ReadInput() reads a file or the stream it is given; the rest are pure functions.
#pragma once

#include <istream>
#include <string>
#include <variant>
#include <vector>

#include "absl/status/statusor.h"
#include "sidelb/v1/control.pb.h"

namespace sidelb::client {

namespace pb = sidelb::v1;

// The whole text of `file`, of `standard_input` when it is "-"; at most 64 MiB.
absl::StatusOr<std::string> ReadInput(const std::string& file, std::istream& standard_input);

// A state or a request, told apart by their keys. `name` is for errors.
absl::StatusOr<std::variant<pb::State, pb::ApplyRequest>> ParseApplyInput(const std::string& name,
                                                                          const std::string& text);

// The message that `text` is in proto3 JSON.
absl::Status ParseJson(const std::string& name, const std::string& text,
                       google::protobuf::Message* message);

// Backends for `replace`: JSON ({"backends": [...]} or the array alone), or a line for each:
//   ADDR [weight=N] [max-connections=N] [zone=Z] [group=G]   # comment
// Addresses are checked and made canonical; one that stands twice is an error.
absl::StatusOr<std::vector<pb::BackendSpec>> ParseBackendList(const std::string& name,
                                                              const std::string& text);

}  // namespace sidelb::client
