#include "client/cli/ip_groups.h"

#include <algorithm>
#include <set>

#include "fmt/format.h"

namespace sidelb::client {

IpGroups GroupByIp(const pb::State& state) {
  std::set<std::string> grouped;
  for (const pb::Pool& pool : state.pools()) {
    if (pool.group_by_ip()) grouped.insert(pool.name());
  }
  IpGroups groups;
  for (const pb::Backend& backend : state.backends()) {
    if (!grouped.contains(backend.pool())) continue;
    IpGroup& group = groups[{backend.pool(), IpOf(backend.address())}];
    ++group.backends;
    group.sessions += backend.status().active_connections();
  }
  return groups;
}

const IpGroup* FindGroup(const IpGroups& groups, const pb::Backend& backend) {
  const auto found = groups.find({backend.pool(), IpOf(backend.address())});
  return found == groups.end() ? nullptr : &found->second;
}

std::string IpOf(std::string_view address) {
  std::string_view ip = address.substr(0, address.rfind(':'));
  if (ip.starts_with('[') && ip.ends_with(']')) ip = ip.substr(1, ip.size() - 2);
  return std::string(ip);
}

Table GroupTable(const IpGroups& groups) {
  Table table({"IP-GROUP", "BACKENDS", "SESSIONS"});
  for (const auto& [key, group] : groups) {
    table.AddRow(
        {{key.second}, {fmt::to_string(group.backends)}, {fmt::to_string(group.sessions)}});
  }
  return table;
}

}  // namespace sidelb::client
