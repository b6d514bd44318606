// IpGroups: the backends of pools with `group_by_ip`, by their IP: what the ports of one IP have
// together.
//
// Thread safety: a value; pure functions.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <utility>

#include "client/cli/table.h"
#include "sidelb/v1/resources.pb.h"

namespace sidelb::client {

namespace pb = sidelb::v1;

struct IpGroup {
  uint32_t backends = 0;
  uint64_t sessions = 0;  // of all of them
};

// By pool and IP; pools that do not group have none.
using IpGroups = std::map<std::pair<std::string, std::string>, IpGroup>;

// Of the pools in `state`, which has to hold all backends of them.
IpGroups GroupByIp(const pb::State& state);
// nullptr when it is in none.
const IpGroup* FindGroup(const IpGroups& groups, const pb::Backend& backend);

// "192.0.2.1" of "192.0.2.1:80", "2001:db8::1" of "[2001:db8::1]:80".
std::string IpOf(std::string_view address);

Table GroupTable(const IpGroups& groups);

}  // namespace sidelb::client
