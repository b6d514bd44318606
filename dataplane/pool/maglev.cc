#include "dataplane/pool/maglev.h"

#include <algorithm>
#include <numeric>
#include <utility>

#include "dataplane/pool/taking.h"

namespace sidelb {
namespace {

constexpr uint32_t kPrimes[] = {65'537, 131'101, 262'147, 393'241, 524'309, kMaxMaglevTable};
constexpr size_t kSlotsPerBackend = 100;
constexpr int kSlotTries = 8;  // slots before a scan
constexpr uint32_t kFree = UINT32_MAX;

// A fixed hash (FNV-1a with a finish of MurmurHash3), the same in every process and release, so
// that several balancers send one client to one backend.
uint64_t Hash(const char* bytes, size_t size, uint64_t seed) {
  uint64_t hash = 0xcbf29ce484222325u ^ seed;
  for (size_t i = 0; i < size; ++i) {
    hash = (hash ^ static_cast<unsigned char>(bytes[i])) * 0x100000001b3u;
  }
  hash = (hash ^ (hash >> 33)) * 0xff51afd7ed558ccdu;
  hash = (hash ^ (hash >> 33)) * 0xc4ceb9fe1a85ec53u;
  return hash ^ (hash >> 33);
}

uint64_t HashIp(const Address& address, uint64_t seed) {
  if (address.is_v6()) {
    const auto* v6 = reinterpret_cast<const sockaddr_in6*>(address.data());
    return Hash(reinterpret_cast<const char*>(&v6->sin6_addr), 16, seed);
  }
  const auto* v4 = reinterpret_cast<const sockaddr_in*>(address.data());
  return Hash(reinterpret_cast<const char*>(&v4->sin_addr), 4, seed);
}

// The port counts.
uint64_t HashIpPort(const Address& address, uint64_t seed) {
  return HashIp(address, seed ^ (uint64_t{address.port()} << 32));
}

// One backend's walk over the slots.
struct Walk {
  uint64_t order;
  uint32_t index;
  uint32_t position;
  uint32_t skip;
  uint64_t weight;
  uint64_t slots = 0;  // its share
};

// Shares `size` slots out by weight: the whole part of each share, and one more for the greatest
// rests. A share below one is one; the others divide what is left.
void ShareOut(std::vector<Walk>& walks, uint64_t size) {
  uint64_t weight = 0;
  for (const Walk& walk : walks) weight += walk.weight;
  for (bool is_settled = false; !is_settled;) {
    is_settled = true;
    for (Walk& walk : walks) {
      if (walk.slots != 0 || size * walk.weight >= weight) continue;
      walk.slots = 1;
      --size;
      weight -= walk.weight;
      is_settled = false;
    }
  }
  uint64_t left = size;
  std::vector<std::pair<uint64_t, uint32_t>> rests;  // of the shares, by place in `walks`
  for (uint32_t i = 0; i < walks.size(); ++i) {
    if (walks[i].slots != 0) continue;
    walks[i].slots = size * walks[i].weight / weight;
    left -= walks[i].slots;
    rests.emplace_back(size * walks[i].weight % weight, i);
  }
  std::sort(rests.begin(), rests.end(), [](const auto& a, const auto& b) {
    return a.first != b.first ? a.first > b.first : a.second < b.second;
  });
  for (uint64_t i = 0; i < left; ++i) ++walks[rests[i].second].slots;
}

// The places in `walks` in the order in which they take their slots: in as many turns as the
// greatest share has slots, each walk in as many of them, evenly spread.
std::vector<uint32_t> Turns(const std::vector<Walk>& walks, uint64_t size) {
  uint64_t turns = 0;
  for (const Walk& walk : walks) turns = std::max(turns, walk.slots);
  std::vector<uint32_t> begins(turns + 1);  // where each turn begins in the result
  const auto for_each = [&](auto function) {
    for (uint32_t i = 0; i < walks.size(); ++i) {
      for (uint64_t k = 0; k < walks[i].slots; ++k) function(i, k * turns / walks[i].slots);
    }
  };
  for_each([&](uint32_t, uint64_t turn) { ++begins[turn + 1]; });
  std::partial_sum(begins.begin(), begins.end(), begins.begin());
  std::vector<uint32_t> order(size);
  for_each([&](uint32_t i, uint64_t turn) { order[begins[turn]++] = i; });
  return order;
}

}  // namespace

uint32_t MaglevTableSize(size_t backends, uint32_t wanted) {
  if (wanted != 0 && wanted >= backends * kSlotsPerBackend) return wanted;
  for (uint32_t prime : kPrimes) {
    if (prime >= backends * kSlotsPerBackend) return prime;
  }
  return kPrimes[std::size(kPrimes) - 1];
}

uint64_t MaglevPicker::HashClient(const Address& client, HashKey key) {
  return key == HashKey::kSourceIpPort ? HashIpPort(client, 0) : HashIp(client, 0);
}

MaglevPicker::MaglevPicker(absl::Span<const Member> eligible, size_t pool_size, HashKey key,
                           uint32_t wanted_size)
    : eligible_(eligible), key_(key) {
  if (eligible.empty()) return;
  const uint32_t size = MaglevTableSize(pool_size, wanted_size);
  std::vector<Walk> walks;
  walks.reserve(eligible.size());
  for (uint32_t i = 0; i < eligible.size(); ++i) {
    const Member& member = eligible[i];
    walks.push_back({.order = HashIpPort(member.address, 1),
                     .index = i,
                     .position = static_cast<uint32_t>(HashIpPort(member.address, 2) % size),
                     .skip = static_cast<uint32_t>(HashIpPort(member.address, 3) % (size - 1) + 1),
                     .weight = member.weight});
  }
  // The turns go in an order that does not depend on how the pool lists its backends.
  std::sort(walks.begin(), walks.end(), [](const Walk& a, const Walk& b) {
    return a.order != b.order ? a.order < b.order : a.index < b.index;
  });
  ShareOut(walks, size);
  table_.assign(size, kFree);
  for (uint32_t i : Turns(walks, size)) {
    Walk& walk = walks[i];
    while (table_[walk.position] != kFree) walk.position = (walk.position + walk.skip) % size;
    table_[walk.position] = walk.index;
  }
}

PickResult MaglevPicker::Pick(const PickRequest& request) const {
  if (eligible_.empty()) return {nullptr, PickError::kNoBackend};
  Taking taking(request);
  uint64_t slot = request.client == nullptr ? 0 : HashClient(*request.client, key_) % table_.size();
  for (int i = 0; i < kSlotTries; ++i) {
    const Member& member = eligible_[table_[slot]];
    if (taking.Take(member)) return {member.backend, PickError::kNone};
    slot = (slot + 1) % table_.size();
  }
  return taking.Scan(eligible_, table_[slot]);
}

}  // namespace sidelb
