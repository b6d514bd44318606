// Fills a message with distinct values in every field that a write may set, by the table of
// supported fields: a test that compares such a message misses no field, also no later one.
#pragma once

#include <google/protobuf/message.h>

namespace sidelb::rpc {

// `number` makes the values distinct; it grows with each.
void FillWritable(google::protobuf::Message* message, int* number);

template <typename Message>
Message MakeFilled(int first_number = 1) {
  Message message;
  FillWritable(&message, &first_number);
  return message;
}

}  // namespace sidelb::rpc
