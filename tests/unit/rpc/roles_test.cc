#include "server/rpc/roles.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace sidelb::rpc {
namespace {

using control::Role;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::StartsWith;

std::string ErrorOf(std::string_view text) {
  const auto roles = Roles::Parse(text);
  EXPECT_TRUE(absl::IsInvalidArgument(roles.status())) << roles.status();
  return std::string(roles.status().message());
}

TEST(RolesTest, EachLineGivesARole) {
  const auto roles = Roles::Parse(
      "# who may do what\n"
      "admin uid:0 uid:1000\n"
      "\n"
      "operator\tsan:ops.example\r\n"
      "owner san:deploy.example owners=api:nomad,api:deploy,api:nomad  # twice is once\n"
      "viewer anonymous");

  ASSERT_TRUE(roles.ok()) << roles.status();
  EXPECT_EQ(roles->size(), 5u);
  EXPECT_EQ(roles->Find("uid:0")->role, Role::kAdmin);
  EXPECT_EQ(roles->Find("uid:1000")->role, Role::kAdmin);
  EXPECT_EQ(roles->Find("san:ops.example")->role, Role::kOperator);
  EXPECT_EQ(roles->Find("san:deploy.example")->role, Role::kOwner);
  EXPECT_THAT(roles->Find("san:deploy.example")->owners, ElementsAre("api:nomad", "api:deploy"));
  EXPECT_EQ(roles->Find("anonymous")->role, Role::kViewer);
  EXPECT_EQ(roles->Find("uid:1"), nullptr);
  EXPECT_TRUE(roles->has_admin());
}

TEST(RolesTest, AnEmptyFileGivesNobodyAnything) {
  const auto roles = Roles::Parse("# nobody yet\n\n");

  ASSERT_TRUE(roles.ok()) << roles.status();
  EXPECT_EQ(roles->size(), 0u);
  EXPECT_FALSE(roles->has_admin());
}

TEST(RolesTest, OneUserIsOneHoweverItsNumberIsWritten) {
  EXPECT_NE(Roles::Parse("admin uid:007")->Find("uid:7"), nullptr);
  EXPECT_THAT(ErrorOf("admin uid:7\nviewer uid:07"),
              AllOf(StartsWith("line 2: "), HasSubstr("uid:7"), HasSubstr("line 1")));
}

TEST(RolesTest, AnErrorNamesItsLineTheValueAndWhatIsAllowed) {
  EXPECT_THAT(ErrorOf("\nking uid:0"), AllOf(StartsWith("line 2: "), HasSubstr("'king'"),
                                             HasSubstr("viewer, owner, operator, admin")));
  EXPECT_THAT(ErrorOf("admin root"), AllOf(HasSubstr("'root'"), HasSubstr("uid:NUMBER")));
  EXPECT_THAT(ErrorOf("admin uid:-1"), HasSubstr("uid:0 to uid:4294967295"));
  EXPECT_THAT(ErrorOf("admin uid:4294967296"), HasSubstr("uid:0 to uid:4294967295"));
  EXPECT_THAT(ErrorOf("admin uid:"), HasSubstr("uid:0 to uid:4294967295"));
  EXPECT_THAT(ErrorOf("admin san:"), HasSubstr("san:NAME"));
  EXPECT_THAT(ErrorOf("admin"), HasSubstr("names nobody"));
  EXPECT_THAT(ErrorOf("owner uid:1"), HasSubstr("owners=api:NAME"));
  EXPECT_THAT(ErrorOf("owner uid:1 owners=nomad"),
              AllOf(HasSubstr("'nomad'"), HasSubstr("api:NAME")));
  EXPECT_THAT(ErrorOf("owner uid:1 owners="), HasSubstr("api:NAME"));
  EXPECT_THAT(ErrorOf("admin uid:1 owners=api:a"), HasSubstr("not for admin"));
  EXPECT_THAT(ErrorOf(std::string_view("admin\0 uid:1", 12)), HasSubstr("zero byte"));
}

TEST(RolesTest, AMissingFileIsNamed) {
  EXPECT_THAT(std::string(ReadRoles("/nonexistent/roles").status().message()),
              AllOf(HasSubstr("/nonexistent/roles"), HasSubstr("ENOENT")));
}

}  // namespace
}  // namespace sidelb::rpc
