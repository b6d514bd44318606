// Where the control service listens.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "server/rpc/endpoint.h"

namespace sidelb::rpc {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

TEST(EndpointTest, ParsesWhatItPrints) {
  for (const char* text : {"unix:/run/sidelb/control.sock", "unix:relative.sock", "127.0.0.1:7000",
                           "[::1]:7000", "0.0.0.0:0"}) {
    const auto endpoint = ParseEndpoint(text);
    ASSERT_TRUE(endpoint.ok()) << endpoint.status();
    EXPECT_EQ(endpoint->ToString(), text);
  }
}

TEST(EndpointTest, KnowsTheUriFormAndLocalhost) {
  EXPECT_EQ(ParseEndpoint("unix:///run/a.sock")->path, "/run/a.sock");
  EXPECT_EQ(ParseEndpoint("unix://///run/a.sock")->ToString(), "unix:/run/a.sock");
  EXPECT_EQ(ParseEndpoint("localhost:7000")->ToString(), "127.0.0.1:7000");
}

TEST(EndpointTest, RefusesTheRestAndSaysWhatIsAllowed) {
  for (const char* text : {"", "unix:", "7000", "127.0.0.1", "example.com:7000", "::1:7000",
                           "127.0.0.1:70000", "localhost:", "/run/sidelb/control.sock"}) {
    const auto endpoint = ParseEndpoint(text);
    ASSERT_TRUE(absl::IsInvalidArgument(endpoint.status())) << text;
    EXPECT_THAT(std::string(endpoint.status().message()),
                AllOf(HasSubstr(text), HasSubstr("allowed: unix:PATH or IP:PORT")));
  }
}

TEST(EndpointTest, RefusesAZeroByteThatWouldCutThePath) {
  EXPECT_FALSE(ParseEndpoint(std::string_view("unix:/run/a\0.sock", 17)).ok());
  EXPECT_FALSE(ParseEndpoint(std::string_view("localhost:80\0", 13)).ok());
}

TEST(EndpointTest, OnlySocketsAndLoopbackAreLocal) {
  EXPECT_TRUE(ParseEndpoint("unix:/run/a.sock")->is_local());
  EXPECT_TRUE(ParseEndpoint("127.0.0.1:1")->is_local());
  EXPECT_TRUE(ParseEndpoint("127.9.9.9:1")->is_local());
  EXPECT_TRUE(ParseEndpoint("[::1]:1")->is_local());
  EXPECT_TRUE(ParseEndpoint("[::ffff:127.0.0.1]:1")->is_local());
  EXPECT_FALSE(ParseEndpoint("0.0.0.0:1")->is_local());
  EXPECT_FALSE(ParseEndpoint("[::]:1")->is_local());
  EXPECT_FALSE(ParseEndpoint("192.0.2.1:1")->is_local());
  EXPECT_FALSE(ParseEndpoint("[2001:db8::1]:1")->is_local());
}

TEST(EndpointTest, DefaultPathsAreTheSystemsThenTheUsers) {
  EXPECT_THAT(DefaultSocketPaths("/run/user/1000"),
              ElementsAre("/run/sidelb/control.sock", "/run/user/1000/sidelb/control.sock"));
  EXPECT_THAT(DefaultSocketPaths(""), ElementsAre("/run/sidelb/control.sock"));
}

}  // namespace
}  // namespace sidelb::rpc
