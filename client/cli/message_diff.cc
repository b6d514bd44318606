#include "client/cli/message_diff.h"

#include <map>

#include "absl/strings/ascii.h"
#include "client/cli/json_output.h"
#include "client/cli/object_tables.h"
#include "client/cli/values.h"
#include "fmt/format.h"

namespace sidelb::client {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;

// Where "not specified" means the enumerator with the number 1.
bool BeginsWithItsDefault(const google::protobuf::EnumDescriptor& descriptor) {
  return descriptor.name() == "Mode" || descriptor.name() == "Protocol" ||
         descriptor.name() == "HashKey" || descriptor.name() == "DrainAction" ||
         descriptor.name() == "OnUnhealthy" || descriptor.name() == "UdpPolicy" ||
         descriptor.name() == "AdminState";
}

// HASH_KEY_SOURCE_IP of HashKey is "source-ip".
std::string EnumeratorWord(const google::protobuf::EnumValueDescriptor& value) {
  std::string prefix;
  for (char c : value.type()->name()) {
    if (absl::ascii_isupper(static_cast<unsigned char>(c)) && !prefix.empty()) prefix += '_';
    prefix += absl::ascii_toupper(static_cast<unsigned char>(c));
  }
  return Word(value.name(), prefix + "_");
}

std::string MessageText(const Message& message) {
  if (const auto* duration = dynamic_cast<const google::protobuf::Duration*>(&message)) {
    return DurationText(FromProto(*duration));
  }
  std::string json = ToJson(message, JsonLayout::kLine, JsonFields::kSet);
  absl::StripTrailingAsciiWhitespace(&json);
  return json;
}

std::string ScalarText(const FieldDescriptor& field, const Message& message) {
  const google::protobuf::Reflection& reflection = *message.GetReflection();
  switch (field.cpp_type()) {
    case FieldDescriptor::CPPTYPE_STRING:
      return reflection.GetString(message, &field);
    case FieldDescriptor::CPPTYPE_BOOL:
      return reflection.GetBool(message, &field) ? "true" : "false";
    case FieldDescriptor::CPPTYPE_UINT32:
      return fmt::to_string(reflection.GetUInt32(message, &field));
    case FieldDescriptor::CPPTYPE_UINT64:
      return fmt::to_string(reflection.GetUInt64(message, &field));
    case FieldDescriptor::CPPTYPE_INT32:
      return fmt::to_string(reflection.GetInt32(message, &field));
    case FieldDescriptor::CPPTYPE_INT64:
      return fmt::to_string(reflection.GetInt64(message, &field));
    case FieldDescriptor::CPPTYPE_ENUM: {
      const auto* value = reflection.GetEnum(message, &field);
      const bool is_default = value->number() == 0 && BeginsWithItsDefault(*value->type());
      const auto* meant = is_default ? value->type()->FindValueByNumber(1) : value;
      return meant->number() == 0 ? "" : EnumeratorWord(*meant);
    }
    case FieldDescriptor::CPPTYPE_FLOAT:
    case FieldDescriptor::CPPTYPE_DOUBLE:
    case FieldDescriptor::CPPTYPE_MESSAGE:
      break;
  }
  return "";
}

// Of a repeated field: its elements by what they are called, or all in one where they have no name.
std::map<std::string, std::string> ElementsOf(const FieldDescriptor& field,
                                              const Message& message) {
  const google::protobuf::Reflection& reflection = *message.GetReflection();
  std::map<std::string, std::string> elements;
  for (int i = 0; i < reflection.FieldSize(message, &field); ++i) {
    if (field.cpp_type() == FieldDescriptor::CPPTYPE_STRING) {
      std::string& all = elements[""];
      all += (all.empty() ? "" : ", ") + reflection.GetRepeatedString(message, &field, i);
      continue;
    }
    if (field.cpp_type() != FieldDescriptor::CPPTYPE_MESSAGE) continue;
    const Message& element = reflection.GetRepeatedMessage(message, &field, i);
    const FieldDescriptor* const key = element.GetDescriptor()->FindFieldByNumber(1);
    const FieldDescriptor* const value = element.GetDescriptor()->FindFieldByNumber(2);
    elements[ScalarText(*key, element)] =
        field.is_map() && value->cpp_type() != FieldDescriptor::CPPTYPE_MESSAGE
            ? ScalarText(*value, element)
            : MessageText(element);
  }
  return elements;
}

class Differ {
 public:
  void Run(const std::string& prefix, const Message& before, const Message& after) {
    const google::protobuf::Descriptor& descriptor = *before.GetDescriptor();
    for (int i = 0; i < descriptor.field_count(); ++i) {
      const FieldDescriptor& field = *descriptor.field(i);
      const std::string path = prefix + field.name();
      if (field.is_repeated()) {
        CompareElements(path, ElementsOf(field, before), ElementsOf(field, after));
      } else if (field.cpp_type() != FieldDescriptor::CPPTYPE_MESSAGE) {
        Add(path, TextOf(field, before), TextOf(field, after));
      } else if (field.message_type()->full_name().starts_with("google.protobuf.")) {
        Add(path, TextOf(field, before), TextOf(field, after));
      } else {
        Run(path + ".", before.GetReflection()->GetMessage(before, &field),
            after.GetReflection()->GetMessage(after, &field));
      }
    }
  }

  std::vector<FieldChange> changes;

 private:
  static std::string TextOf(const FieldDescriptor& field, const Message& message) {
    const google::protobuf::Reflection& reflection = *message.GetReflection();
    const bool is_enum = field.cpp_type() == FieldDescriptor::CPPTYPE_ENUM;
    if (!is_enum && !reflection.HasField(message, &field)) return "";
    if (field.cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE) {
      return MessageText(reflection.GetMessage(message, &field));
    }
    return ScalarText(field, message);
  }

  void CompareElements(const std::string& path, std::map<std::string, std::string> before,
                       const std::map<std::string, std::string>& after) {
    for (const auto& [key, text] : after) {
      const auto found = before.find(key);
      const std::string old = found == before.end() ? "" : found->second;
      Add(key.empty() ? path : path + "." + key, old, text);
      before.erase(key);
    }
    for (const auto& [key, text] : before) Add(key.empty() ? path : path + "." + key, text, "");
  }

  void Add(const std::string& path, const std::string& before, const std::string& after) {
    if (before != after) changes.push_back({path, before, after});
  }
};

}  // namespace

std::vector<FieldChange> DiffMessages(const Message& before, const Message& after) {
  Differ differ;
  differ.Run("", before, after);
  return std::move(differ.changes);
}

}  // namespace sidelb::client
