// What differs between two messages of one type, field by field, in words for people.
//
// Thread safety: pure functions.
#pragma once

#include <string>
#include <vector>

#include "google/protobuf/message.h"

namespace sidelb::client {

struct FieldChange {
  std::string path;    // "drain.timeout", "tags.release"
  std::string before;  // "30s"; empty = not set
  std::string after;

  friend bool operator==(const FieldChange&, const FieldChange&) = default;
};

// In the order of the fields. An enumeration that is not specified is the same as its default.
std::vector<FieldChange> DiffMessages(const google::protobuf::Message& before,
                                      const google::protobuf::Message& after);

}  // namespace sidelb::client
