// Every call and every op with every role.
#include "server/rpc/authorize.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <vector>

#include "server/control/errors.h"
#include "server/rpc/access.h"
#include "server/rpc/roles.h"

namespace sidelb::rpc {
namespace {

using control::Caller;
using control::Role;
using testing::HasSubstr;

constexpr Role kAll[] = {Role::kViewer, Role::kOwner, Role::kOperator, Role::kAdmin};

Caller CallerWith(Role role, std::vector<std::string> owners = {"api:mine"}) {
  return {.principal = "uid:7", .peer = "unix:/x", .role = role, .owners = std::move(owners)};
}

std::string ReasonOf(const absl::Status& status) {
  if (status.ok()) return "";
  EXPECT_TRUE(absl::IsPermissionDenied(status)) << status;
  return control::GetErrorDetails(status)->reason;
}

TEST(AuthorizeTest, EachCallNeedsItsRole) {
  const std::vector<std::pair<Call, Role>> needed = {
      {Call::kGetState, Role::kViewer},  {Call::kWatch, Role::kViewer},
      {Call::kGetStats, Role::kViewer},  {Call::kGetInfo, Role::kViewer},
      {Call::kListAudit, Role::kViewer}, {Call::kShutdown, Role::kAdmin}};
  for (const auto& [call, least] : needed) {
    for (const Role role : kAll) {
      EXPECT_EQ(ReasonOf(Authorize(CallerWith(role), call)), role >= least ? "" : "ROLE")
          << static_cast<int>(call) << " " << RoleName(role);
    }
  }
}

struct OpCase {
  const char* field;
  std::function<void(pb::Op*)> fill;
  Role least;
};

const std::vector<OpCase>& OpCases() {
  static const auto* const cases = new std::vector<OpCase>{
      {"put_listener", [](pb::Op* op) { op->mutable_put_listener(); }, Role::kAdmin},
      {"remove_listener", [](pb::Op* op) { op->set_remove_listener("a"); }, Role::kAdmin},
      {"put_pool", [](pb::Op* op) { op->mutable_put_pool(); }, Role::kAdmin},
      {"remove_pool", [](pb::Op* op) { op->mutable_remove_pool(); }, Role::kAdmin},
      {"upsert_backends", [](pb::Op* op) { op->mutable_upsert_backends(); }, Role::kOwner},
      {"remove_backends", [](pb::Op* op) { op->mutable_remove_backends(); }, Role::kOwner},
      {"remove_backends.any_owner",
       [](pb::Op* op) { op->mutable_remove_backends()->set_any_owner(true); }, Role::kAdmin},
      {"replace_backends", [](pb::Op* op) { op->mutable_replace_backends(); }, Role::kOwner},
      {"set_mode", [](pb::Op* op) { op->mutable_set_mode(); }, Role::kOperator},
      {"set_override", [](pb::Op* op) { op->mutable_set_override(); }, Role::kOperator},
      {"import_state", [](pb::Op* op) { op->mutable_import_state(); }, Role::kAdmin},
  };
  return *cases;
}

TEST(AuthorizeTest, EachOpNeedsItsRole) {
  for (const OpCase& one : OpCases()) {
    for (const Role role : kAll) {
      pb::ApplyRequest request;
      request.set_owner("api:mine");
      request.add_ops()->mutable_upsert_backends();
      one.fill(request.add_ops());

      const absl::Status status = Authorize(CallerWith(role), request);

      EXPECT_EQ(ReasonOf(status), role >= one.least ? "" : "ROLE") << one.field << RoleName(role);
      if (role == Role::kViewer || status.ok()) continue;
      EXPECT_THAT(std::string(status.message()), HasSubstr(std::string("ops[1].") + one.field));
    }
  }
}

TEST(AuthorizeTest, EveryOpOfTheApiIsInTheTable) {
  const auto* ops = pb::Op::descriptor()->FindOneofByName("op");
  EXPECT_EQ(static_cast<size_t>(ops->field_count()) + 1, OpCases().size())
      << "any_owner is one more";
}

TEST(AuthorizeTest, ClaimsAreWrittenByTheirOwnersAndByAdmin) {
  for (const OpCase& one : OpCases()) {
    if (one.least != Role::kOwner) continue;
    pb::ApplyRequest request;
    request.set_owner("api:other");
    one.fill(request.add_ops());
    EXPECT_EQ(ReasonOf(Authorize(CallerWith(Role::kOwner), request)), "NOT_OWNER") << one.field;
    EXPECT_EQ(ReasonOf(Authorize(CallerWith(Role::kOperator), request)), "NOT_OWNER") << one.field;
    EXPECT_EQ(ReasonOf(Authorize(CallerWith(Role::kAdmin, {}), request)), "") << one.field;
  }
}

TEST(AuthorizeTest, NoOwnerMeansTheDefaultOne) {
  pb::ApplyRequest request;
  request.add_ops()->mutable_upsert_backends();
  EXPECT_EQ(ReasonOf(Authorize(CallerWith(Role::kOwner), request)), "NOT_OWNER");
  EXPECT_EQ(ReasonOf(Authorize(CallerWith(Role::kOwner, {"api:default"}), request)), "");
}

TEST(AuthorizeTest, AnOperatorNeedsNoOwnerToDrain) {
  pb::ApplyRequest request;
  request.set_owner("api:cli");
  request.add_ops()->mutable_set_override();
  request.add_ops()->mutable_set_mode();
  EXPECT_EQ(ReasonOf(Authorize(CallerWith(Role::kOperator, {}), request)), "");
  request.set_holder("alloc-1");
  EXPECT_EQ(ReasonOf(Authorize(CallerWith(Role::kOperator, {}), request)), "NOT_OWNER")
      << "it would renew the lease of another";
}

TEST(AuthorizeTest, MassRemovalIsForOperators) {
  pb::ApplyRequest request;
  request.set_owner("api:mine");
  request.add_ops()->mutable_replace_backends();
  request.set_allow_mass_removal(true);
  EXPECT_EQ(ReasonOf(Authorize(CallerWith(Role::kOwner), request)), "ROLE");
  EXPECT_EQ(ReasonOf(Authorize(CallerWith(Role::kOperator), request)), "");
}

TEST(AuthorizeTest, AnEmptyBatchIsAWriteToo) {
  EXPECT_EQ(ReasonOf(Authorize(CallerWith(Role::kViewer), pb::ApplyRequest())), "ROLE");
}

TEST(AuthorizeTest, LeasesAreRenewedByTheirOwners) {
  pb::RenewLeaseRequest request;
  request.set_owner("api:mine");
  EXPECT_EQ(ReasonOf(Authorize(CallerWith(Role::kViewer), request)), "ROLE");
  EXPECT_EQ(ReasonOf(Authorize(CallerWith(Role::kOwner), request)), "");
  EXPECT_EQ(ReasonOf(Authorize(CallerWith(Role::kOperator), request)), "");
  request.set_owner("api:other");
  EXPECT_EQ(ReasonOf(Authorize(CallerWith(Role::kOwner), request)), "NOT_OWNER");
  EXPECT_EQ(ReasonOf(Authorize(CallerWith(Role::kOperator), request)), "NOT_OWNER");
  EXPECT_EQ(ReasonOf(Authorize(CallerWith(Role::kAdmin), request)), "");
}

TEST(ResolveCallerTest, WithoutAFileEveryoneIsAdmin) {
  const auto caller = ResolveCaller(nullptr, {"uid:7"}, "unix:/x");
  ASSERT_TRUE(caller.ok()) << caller.status();
  EXPECT_EQ(caller->role, Role::kAdmin);
  EXPECT_EQ(caller->principal, "uid:7");
  EXPECT_EQ(caller->peer, "unix:/x");
}

TEST(ResolveCallerTest, WithAFileWhoIsNotListedGetsNothing) {
  const Roles roles = *Roles::Parse("admin uid:0");
  const auto user = ResolveCaller(&roles, {"uid:7"}, "");
  EXPECT_EQ(ReasonOf(user.status()), "ROLE");
  const auto anonymous = ResolveCaller(&roles, {"anonymous"}, "");
  EXPECT_TRUE(absl::IsUnauthenticated(anonymous.status())) << anonymous.status();
  EXPECT_EQ(control::GetErrorDetails(anonymous.status())->reason, "NO_IDENTITY");
}

TEST(ResolveCallerTest, OfSeveralNamesTheOneThatMayDoMostCounts) {
  const Roles roles = *Roles::Parse("viewer san:a\nowner san:b owners=api:b\n");
  const auto caller = ResolveCaller(&roles, {"san:x", "san:a", "san:b"}, "");
  ASSERT_TRUE(caller.ok()) << caller.status();
  EXPECT_EQ(caller->principal, "san:b");
  EXPECT_EQ(caller->role, Role::kOwner);
  EXPECT_EQ(caller->owners, std::vector<std::string>{"api:b"});
}

TEST(PeerTextTest, IsTheAddressOrTheSocket) {
  EXPECT_EQ(PeerText("ipv4:192.0.2.1:7", "unix:/x"), "192.0.2.1:7");
  EXPECT_EQ(PeerText("ipv6:%5B::1%5D:7", "unix:/x"), "[::1]:7");
  EXPECT_EQ(PeerText("unix:", "unix:/x"), "unix:/x");
}

}  // namespace
}  // namespace sidelb::rpc
