#include "client/cli/json_output.h"

#include "google/protobuf/io/coded_stream.h"
#include "google/protobuf/io/zero_copy_stream_impl_lite.h"
#include "google/protobuf/util/json_util.h"
#include "google/protobuf/util/type_resolver_util.h"

namespace sidelb::client {
namespace {

constexpr char kTypeHost[] = "type.googleapis.com";

// The same text for equal messages: maps in the order of their keys.
bool Print(const google::protobuf::Message& message,
           const google::protobuf::util::JsonPrintOptions& options, std::string* json) {
  static auto* const resolver = google::protobuf::util::NewTypeResolverForDescriptorPool(
      kTypeHost, google::protobuf::DescriptorPool::generated_pool());
  std::string bytes;
  {
    google::protobuf::io::StringOutputStream stream(&bytes);
    google::protobuf::io::CodedOutputStream coded(&stream);
    coded.SetSerializationDeterministic(true);
    message.SerializeToCodedStream(&coded);
  }
  const std::string type = std::string(kTypeHost) + "/" + message.GetDescriptor()->full_name();
  return google::protobuf::util::BinaryToJsonString(resolver, type, bytes, json, options).ok();
}

}  // namespace

std::string ToJson(const google::protobuf::Message& message, JsonLayout layout, JsonFields fields) {
  google::protobuf::util::JsonPrintOptions options;
  options.add_whitespace = layout == JsonLayout::kIndented;
  options.always_print_primitive_fields = fields == JsonFields::kAll;
  std::string json;
  // Fails only for an Any of unknown type, which is then shown by its fields.
  if (!Print(message, options, &json)) json = message.ShortDebugString();
  if (json.empty() || json.back() != '\n') json += '\n';
  return json;
}

}  // namespace sidelb::client
