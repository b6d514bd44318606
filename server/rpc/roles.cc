#include "server/rpc/roles.h"

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <optional>
#include <utility>

#include "absl/strings/str_split.h"
#include "fmt/format.h"
#include "server/rpc/read_file.h"

namespace sidelb::rpc {
namespace {

constexpr std::string_view kUid = "uid:";
constexpr std::string_view kSan = "san:";
constexpr std::string_view kOwners = "owners=";
constexpr std::string_view kOwnerPrefix = "api:";

std::optional<control::Role> ParseRole(std::string_view word) {
  for (const control::Role role : {control::Role::kViewer, control::Role::kOwner,
                                   control::Role::kOperator, control::Role::kAdmin}) {
    if (word == RoleName(role)) return role;
  }
  return std::nullopt;
}

// The principal in its one spelling: "uid:007" is "uid:7".
absl::StatusOr<std::string> ParsePrincipal(std::string_view word) {
  if (word == kAnonymous) return std::string(word);
  if (word.starts_with(kSan) && word.size() > kSan.size()) return std::string(word);
  if (word.starts_with(kUid)) {
    const std::string_view digits = word.substr(kUid.size());
    const char* const end = digits.data() + digits.size();
    uint32_t uid = 0;
    const auto [rest, error] = std::from_chars(digits.data(), end, uid);
    if (error == std::errc() && rest == end) return fmt::format("{}{}", kUid, uid);
    return absl::InvalidArgumentError(
        fmt::format("'{}' has no user's number; allowed: uid:0 to uid:4294967295", word));
  }
  return absl::InvalidArgumentError(
      fmt::format("'{}' is nobody; allowed: uid:NUMBER, san:NAME, {}", word, kAnonymous));
}

absl::Status ParseOwners(std::string_view list, std::vector<std::string>* owners) {
  const std::vector<std::string> all = absl::StrSplit(std::string(list), ',');
  for (const std::string& owner : all) {
    if (!owner.starts_with(kOwnerPrefix) || owner.size() == kOwnerPrefix.size()) {
      return absl::InvalidArgumentError(
          fmt::format("owners= has '{}'; allowed: api:NAME,api:NAME,...", owner));
    }
    if (std::find(owners->begin(), owners->end(), owner) == owners->end()) {
      owners->emplace_back(owner);
    }
  }
  return absl::OkStatus();
}

}  // namespace

std::string_view RoleName(control::Role role) {
  switch (role) {
    case control::Role::kViewer:
      return "viewer";
    case control::Role::kOwner:
      return "owner";
    case control::Role::kOperator:
      return "operator";
    case control::Role::kAdmin:
      return "admin";
  }
  return "";
}

absl::Status Roles::ParseLine(std::string_view line, size_t number) {
  const std::vector<std::string> words = absl::StrSplit(
      std::string(line.substr(0, line.find('#'))), absl::ByAnyChar(" \t\r"), absl::SkipEmpty());
  if (words.empty()) return absl::OkStatus();
  const std::optional<control::Role> role = ParseRole(words.front());
  if (!role) {
    return absl::InvalidArgumentError(
        fmt::format("'{}' is no role; allowed: viewer, owner, operator, admin", words.front()));
  }
  Grant grant{.role = *role};
  std::vector<std::string> principals;
  bool has_owners = false;
  for (size_t i = 1; i < words.size(); ++i) {
    if (words[i].starts_with(kOwners)) {
      has_owners = true;
      const absl::Status status =
          ParseOwners(std::string_view(words[i]).substr(kOwners.size()), &grant.owners);
      if (!status.ok()) return status;
      continue;
    }
    auto principal = ParsePrincipal(words[i]);
    if (!principal.ok()) return principal.status();
    principals.push_back(*std::move(principal));
  }
  if (principals.empty()) {
    return absl::InvalidArgumentError(
        fmt::format("{} names nobody; write uid:NUMBER, san:NAME or {} behind it", RoleName(*role),
                    kAnonymous));
  }
  const bool may_own = *role == control::Role::kOwner || *role == control::Role::kOperator;
  if (*role == control::Role::kOwner && !has_owners) {
    return absl::InvalidArgumentError("owner needs owners=api:NAME,... behind it");
  }
  if (has_owners && !may_own) {
    return absl::InvalidArgumentError(
        fmt::format("owners= is for owner and operator, not for {}", RoleName(*role)));
  }
  for (std::string& principal : principals) {
    const auto [at, is_new] = grants_.try_emplace(principal, Entry{grant, number});
    if (!is_new) {
      return absl::InvalidArgumentError(
          fmt::format("{} has a role in line {} already", principal, at->second.line));
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<Roles> Roles::Parse(std::string_view text) {
  Roles roles;
  size_t number = 0;
  while (!text.empty()) {
    const std::string_view line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(text.size(), line.size() + 1));
    ++number;
    if (line.find('\0') != std::string_view::npos) {
      return absl::InvalidArgumentError(fmt::format("line {}: has a zero byte in it", number));
    }
    if (const absl::Status status = roles.ParseLine(line, number); !status.ok()) {
      return absl::InvalidArgumentError(
          fmt::format("line {}: {}", number, std::string(status.message())));
    }
  }
  return roles;
}

const Grant* Roles::Find(std::string_view principal) const {
  const auto found = grants_.find(principal);
  return found == grants_.end() ? nullptr : &found->second.grant;
}

bool Roles::has_admin() const {
  return std::any_of(grants_.begin(), grants_.end(), [](const auto& item) {
    return item.second.grant.role == control::Role::kAdmin;
  });
}

absl::StatusOr<Roles> ReadRoles(const std::string& path) {
  const auto text = ReadFile(path, kMaxRolesBytes);
  if (!text.ok()) return text.status();
  auto roles = Roles::Parse(*text);
  if (roles.ok()) return roles;
  return absl::InvalidArgumentError(
      fmt::format("{}: {}", path, std::string(roles.status().message())));
}

}  // namespace sidelb::rpc
