#include "client/cli/json_output.h"

#include "google/protobuf/util/json_util.h"

namespace sidelb::client {

std::string ToJson(const google::protobuf::Message& message, JsonLayout layout, JsonFields fields) {
  google::protobuf::util::JsonPrintOptions options;
  options.add_whitespace = layout == JsonLayout::kIndented;
  options.always_print_primitive_fields = fields == JsonFields::kAll;
  std::string json;
  // Fails only for an Any of unknown type, which is then shown by its fields.
  if (!google::protobuf::util::MessageToJsonString(message, &json, options).ok()) {
    json = message.ShortDebugString();
  }
  if (json.empty() || json.back() != '\n') json += '\n';
  return json;
}

}  // namespace sidelb::client
