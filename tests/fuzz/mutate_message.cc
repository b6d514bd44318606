#include "tests/fuzz/mutate_message.h"

#include <google/protobuf/descriptor.h>

#include <cstdint>
#include <string>
#include <vector>

namespace sidelb::fuzz {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;

constexpr int kMaxDepth = 8;

// Few of each, so that ops of one input meet: good ones first, then such that are refused.
std::string DrawText(const FieldDescriptor* field, Random& random) {
  static const std::vector<std::string> kAddresses = {
      "10.0.0.1:80", "10.0.0.2:80", "[2001:db8::1]:80", "[::ffff:10.0.0.1]:80",
      "0.0.0.0:80",  "[::]:80",     "10.0.0.1:0",       "10.0.0.1"};
  static const std::vector<std::string> kNames = {"web", "db", "a", "", "Web", "a_b"};
  static const std::vector<std::string> kOwners = {"api:a", "api:b", "", "static", "ring:x"};
  static const std::vector<std::string> kTexts = {
      "", "eu", "us", "x\n", std::string(256, 'x'), std::string(257, 'x'), std::string(1'025, 'x')};
  const std::string& name = field->name();
  const std::vector<std::string>& words =
      name.find("address") != std::string::npos                       ? kAddresses
      : name == "owner"                                               ? kOwners
      : name == "pool" || name == "name" || name == "remove_listener" ? kNames
                                                                      : kTexts;
  // Half of the time one of the first two.
  return words[random() % (random() % 2 == 0 ? 2 : words.size())];
}

uint64_t DrawNumber(Random& random) {
  constexpr uint64_t kNumbers[] = {0,      1,      2,          3,          5,
                                   100,    127,    1'000,      65'535,     65'536,
                                   86'400, 32'767, UINT32_MAX, 1ull << 40, UINT64_MAX};
  return random() % 4 == 0 ? random() : kNumbers[random() % std::size(kNumbers)];
}

int DrawEnum(const FieldDescriptor* field, Random& random) {
  const auto* type = field->enum_type();
  if (random() % 16 == 0) return 99;  // of a newer version
  return type->value(static_cast<int>(random() % static_cast<unsigned>(type->value_count())))
      ->number();
}

// A new message names something, or it would lead nowhere.
void FillKeys(Message* message, Random& random) {
  const auto* descriptor = message->GetDescriptor();
  const auto* reflection = message->GetReflection();
  for (const char* name : {"pool", "name", "address", "addresses", "backends"}) {
    const FieldDescriptor* const field = descriptor->FindFieldByName(name);
    if (field == nullptr) continue;
    if (field->cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE) {
      if (field->is_repeated()) FillKeys(reflection->AddMessage(message, field), random);
    } else if (field->is_repeated()) {
      reflection->AddString(message, field, DrawText(field, random));
    } else {
      reflection->SetString(message, field, DrawText(field, random));
    }
  }
}

void SetOne(Message* message, const FieldDescriptor* field, Random& random) {
  const auto* reflection = message->GetReflection();
  switch (field->cpp_type()) {
    case FieldDescriptor::CPPTYPE_INT32:
      return reflection->SetInt32(message, field, static_cast<int32_t>(DrawNumber(random)));
    case FieldDescriptor::CPPTYPE_INT64:
      return reflection->SetInt64(message, field, static_cast<int64_t>(DrawNumber(random)));
    case FieldDescriptor::CPPTYPE_UINT32:
      return reflection->SetUInt32(message, field, static_cast<uint32_t>(DrawNumber(random)));
    case FieldDescriptor::CPPTYPE_UINT64:
      return reflection->SetUInt64(message, field, DrawNumber(random));
    case FieldDescriptor::CPPTYPE_DOUBLE:
      return reflection->SetDouble(message, field, static_cast<double>(DrawNumber(random)));
    case FieldDescriptor::CPPTYPE_FLOAT:
      return reflection->SetFloat(message, field, static_cast<float>(DrawNumber(random)));
    case FieldDescriptor::CPPTYPE_BOOL:
      return reflection->SetBool(message, field, random() % 2 == 0);
    case FieldDescriptor::CPPTYPE_ENUM:
      return reflection->SetEnumValue(message, field, DrawEnum(field, random));
    case FieldDescriptor::CPPTYPE_STRING:
      return reflection->SetString(message, field, DrawText(field, random));
    case FieldDescriptor::CPPTYPE_MESSAGE:
      reflection->MutableMessage(message, field);
      return;
  }
}

void AddOne(Message* message, const FieldDescriptor* field, Random& random) {
  const auto* reflection = message->GetReflection();
  switch (field->cpp_type()) {
    case FieldDescriptor::CPPTYPE_STRING:
      return reflection->AddString(message, field, DrawText(field, random));
    case FieldDescriptor::CPPTYPE_ENUM:
      return reflection->AddEnumValue(message, field, DrawEnum(field, random));
    case FieldDescriptor::CPPTYPE_MESSAGE: {
      // A copy of another one, as clients write them.
      const int size = reflection->FieldSize(*message, field);
      Message* const added = reflection->AddMessage(message, field);
      if (size > 0 && random() % 2 == 0) {
        added->CopyFrom(reflection->GetRepeatedMessage(
            *message, field, static_cast<int>(random() % static_cast<unsigned>(size))));
      } else {
        FillKeys(added, random);
      }
      return;
    }
    default:
      return;  // the API repeats nothing else
  }
}

void Mutate(Message* message, Random& random, int depth);

void MutateRepeated(Message* message, const FieldDescriptor* field, Random& random, int depth) {
  const auto* reflection = message->GetReflection();
  const auto size = static_cast<unsigned>(reflection->FieldSize(*message, field));
  const unsigned what = random() % 8;
  if (size == 0 || what == 0) return AddOne(message, field, random);
  if (what == 1) return reflection->RemoveLast(message, field);
  const int one = static_cast<int>(random() % size);
  if (what == 2) {
    return reflection->SwapElements(message, field, one, static_cast<int>(random() % size));
  }
  if (field->cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE) {
    return Mutate(reflection->MutableRepeatedMessage(message, field, one), random, depth + 1);
  }
  reflection->RemoveLast(message, field);
  AddOne(message, field, random);
}

void Mutate(Message* message, Random& random, int depth) {
  const auto* descriptor = message->GetDescriptor();
  const auto* reflection = message->GetReflection();
  if (descriptor->field_count() == 0) return;
  std::vector<const FieldDescriptor*> set;
  reflection->ListFields(*message, &set);
  // Most often something in what is there already: it is what leads deeper.
  const FieldDescriptor* const field =
      !set.empty() && random() % 4 != 0
          ? set[random() % set.size()]
          : descriptor->field(
                static_cast<int>(random() % static_cast<unsigned>(descriptor->field_count())));
  if (depth >= kMaxDepth || (!field->is_repeated() && random() % 16 == 0)) {
    return reflection->ClearField(message, field);
  }
  if (field->is_repeated()) return MutateRepeated(message, field, random, depth);
  if (field->cpp_type() != FieldDescriptor::CPPTYPE_MESSAGE) return SetOne(message, field, random);
  const bool is_new = !reflection->HasField(*message, field);
  Message* const inner = reflection->MutableMessage(message, field);
  if (is_new) FillKeys(inner, random);
  if (!is_new || random() % 2 == 0) Mutate(inner, random, depth + 1);
}

}  // namespace

void MutateMessage(Message* message, Random& random) { Mutate(message, random, 0); }

}  // namespace sidelb::fuzz
