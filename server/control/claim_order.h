// The order of claims: a backend stands in its pool by the oldest of its claims, and of two owners
// of one rank the one with the older claim is in force.
//
// Pure functions.
#pragma once

#include <cstdint>
#include <set>
#include <vector>

#include "server/control/model.h"

namespace sidelb::control {

// Gives claims whose order is 0 one, so that `backends`, which are of one pool, and the claims of
// each of them stand as they are listed. Orders that fit stay; where they do not, all that the
// claims have are dealt out anew. `used` are the orders in the pool, `next` is one more than all
// that there ever were; it grows.
void OrderAsListed(std::vector<BackendObject>* backends, const std::set<uint64_t>& used,
                   uint64_t* next);

// The same for claims that are new, behind all others.
void OrderAsNew(std::vector<BackendObject>* backends, uint64_t* next);

}  // namespace sidelb::control
