// Roles: who may do what, from the text of a file (--roles FILE). One rule a line, '#' begins a
// comment:
//
//   admin     uid:0 uid:1000
//   operator  san:ops.example
//   owner     san:deploy.example owners=api:nomad,api:deploy
//   viewer    anonymous
//
// `uid:N` is a user of the unix socket, `san:NAME` a client whose certificate has that subject
// alternative name, `anonymous` who comes over TCP without a certificate. `owners=` names whose
// claims an owner or an operator may write. Who is in no rule may do nothing.
//
// Thread safety: immutable once parsed.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "server/control/model.h"

namespace sidelb::rpc {

inline constexpr std::string_view kAnonymous = "anonymous";
inline constexpr size_t kMaxRolesBytes = 1 << 20;

struct Grant {
  control::Role role = control::Role::kViewer;
  std::vector<std::string> owners;  // without doubles, in the order of the file
};

// "viewer", "owner", "operator", "admin".
std::string_view RoleName(control::Role role);

class Roles {
 public:
  // INVALID_ARGUMENT that begins with "line N: " and says what is allowed.
  static absl::StatusOr<Roles> Parse(std::string_view text);

  // What `principal` may do; nullptr = nothing.
  const Grant* Find(std::string_view principal) const;

  size_t size() const { return grants_.size(); }  // principals
  bool has_admin() const;

 private:
  struct Entry {
    Grant grant;
    size_t line = 0;
  };
  absl::Status ParseLine(std::string_view line, size_t number);

  std::map<std::string, Entry, std::less<>> grants_;  // by principal
};

// Reads and parses `path`. The error names the file, and the line where the text is at fault.
absl::StatusOr<Roles> ReadRoles(const std::string& path);

}  // namespace sidelb::rpc
