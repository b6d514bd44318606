// Changes messages by their fields, so that a target gets inputs that are wrong in what they say
// and not only in their bytes.
//
// Thread safety: one thread.
#pragma once

#include <google/protobuf/message.h>

#include <random>

namespace sidelb::fuzz {

using Random = std::minstd_rand;

// Sets, clears, adds, removes or swaps one field of `message` or of a message in it.
void MutateMessage(google::protobuf::Message* message, Random& random);

}  // namespace sidelb::fuzz
