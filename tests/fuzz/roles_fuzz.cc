// The roles file.
#include "server/rpc/roles.h"
#include "tests/fuzz/fuzz.h"

using sidelb::control::Role;
using sidelb::fuzz::Require;
using sidelb::rpc::Grant;
using sidelb::rpc::Roles;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string text(sidelb::fuzz::Text(data, size));
  const absl::StatusOr<Roles> roles = Roles::Parse(text);
  if (!roles.ok()) {
    Require(absl::IsInvalidArgument(roles.status()), "errors are INVALID_ARGUMENT", text);
    Require(std::string(roles.status().message()).starts_with("line "), "they name a line", text);
    return 0;
  }
  for (const char* principal : {"uid:0", "uid:1000", "san:a", "anonymous", ""}) {
    const Grant* grant = roles->Find(principal);
    if (grant == nullptr) continue;
    Require(*principal != '\0', "nobody has a role without a name", text);
    Require(text.find(sidelb::rpc::RoleName(grant->role)) != std::string::npos,
            "a role is written in the file", text);
    Require(grant->role != Role::kOwner || !grant->owners.empty(), "an owner owns something", text);
    Require(grant->owners.empty() || grant->role == Role::kOwner || grant->role == Role::kOperator,
            "who owns writes claims", text);
    Require(grant->role != Role::kAdmin || roles->has_admin(), "an admin is one", text);
  }
  // A rule more for someone else takes nothing away.
  const absl::StatusOr<Roles> more = Roles::Parse(text + "\nviewer san:added-by-the-test\n");
  Require(!more.ok() || more->size() == roles->size() + 1, "each rule counts once", text);
  return 0;
}
