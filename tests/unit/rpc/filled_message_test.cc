#include "tests/unit/rpc/filled_message.h"

#include <google/protobuf/descriptor.h>
#include <google/protobuf/duration.pb.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <string>

#include "fmt/format.h"
#include "server/rpc/supported_fields.h"
#include "sidelb/v1/control.pb.h"

namespace sidelb::rpc {

namespace pb = sidelb::v1;

namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;

bool IsWritable(const FieldDescriptor* field) {
  for (const SupportedFields& row : SupportedFieldsTable()) {
    if (row.message != field->containing_type()->full_name()) continue;
    return std::find(row.writable.begin(), row.writable.end(), std::string_view(field->name())) !=
           row.writable.end();
  }
  return true;  // well-known types, entries of maps
}

std::string Text(const FieldDescriptor* field, int number) {
  const bool is_address = field->name().find("address") != std::string::npos;
  return is_address ? fmt::format("192.0.2.{}:80", number)
                    : fmt::format("{}-{}", field->name(), number);
}

void FillOne(Message* message, const FieldDescriptor* field, int* number) {
  const auto* reflection = message->GetReflection();
  const bool is_list = field->is_repeated();
  ++*number;
  switch (field->cpp_type()) {
    case FieldDescriptor::CPPTYPE_MESSAGE:
      FillWritable(is_list ? reflection->AddMessage(message, field)
                           : reflection->MutableMessage(message, field),
                   number);
      break;
    case FieldDescriptor::CPPTYPE_STRING:
      is_list ? reflection->AddString(message, field, Text(field, *number))
              : reflection->SetString(message, field, Text(field, *number));
      break;
    case FieldDescriptor::CPPTYPE_BOOL:
      reflection->SetBool(message, field, true);
      break;
    case FieldDescriptor::CPPTYPE_UINT32:
      reflection->SetUInt32(message, field, *number);
      break;
    case FieldDescriptor::CPPTYPE_UINT64:
      reflection->SetUInt64(message, field, *number);
      break;
    case FieldDescriptor::CPPTYPE_INT32:
      reflection->SetInt32(message, field, *number);
      break;
    case FieldDescriptor::CPPTYPE_INT64:
      reflection->SetInt64(message, field, *number);
      break;
    case FieldDescriptor::CPPTYPE_ENUM: {
      // The last value is the least likely default; some are not built yet.
      const auto* type = field->enum_type();
      int value = type->value(type->value_count() - 1)->number();
      if (value == pb::PROBE_KIND_GRPC_HEALTH && type == pb::ProbeKind_descriptor()) --value;
      if (value == pb::HASH_KEY_FIVE_TUPLE && type == pb::HashKey_descriptor()) --value;
      is_list ? reflection->AddEnumValue(message, field, value)
              : reflection->SetEnumValue(message, field, value);
      break;
    }
    default:
      FAIL() << field->full_name() << " has a type that the test does not fill";
  }
}

}  // namespace

void FillWritable(Message* message, int* number) {
  const auto* descriptor = message->GetDescriptor();
  for (int i = 0; i < descriptor->field_count(); ++i) {
    if (IsWritable(descriptor->field(i))) FillOne(message, descriptor->field(i), number);
  }
}

TEST(FilledMessageTest, SetsWhatIsWritableAndNothingElse) {
  const auto listener = MakeFilled<sidelb::v1::Listener>();
  EXPECT_EQ(listener.address().substr(0, 8), "192.0.2.");
  EXPECT_TRUE(listener.disabled());
  EXPECT_TRUE(listener.keepalive().has_count());
  EXPECT_FALSE(listener.has_status());
  EXPECT_FALSE(listener.has_accept_proxy_protocol());
}

}  // namespace sidelb::rpc
