#include "client/endpoint.h"

#include <map>
#include <set>

#include "client/error_details.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace sidelb::client {
namespace {

using testing::HasSubstr;

EndpointSources Sources(std::map<std::string, std::string> variables,
                        std::set<std::string> sockets) {
  return {.get_variable = [variables](const char* name) -> std::optional<std::string> {
            const auto found = variables.find(name);
            return found == variables.end() ? std::nullopt : std::optional(found->second);
          },
          .is_socket = [sockets](const std::string& path) { return sockets.contains(path); }};
}

TEST(ParseEndpointTest, TakesSocketsAndHosts) {
  EXPECT_EQ(*ParseEndpoint("unix:/run/x.sock"), (Endpoint{Endpoint::Kind::kUnix, "/run/x.sock"}));
  EXPECT_EQ(*ParseEndpoint("unix:///run/x.sock"), (Endpoint{Endpoint::Kind::kUnix, "/run/x.sock"}));
  EXPECT_EQ(*ParseEndpoint("unix://///run/x.sock"),
            (Endpoint{Endpoint::Kind::kUnix, "/run/x.sock"}));
  EXPECT_EQ(*ParseEndpoint("127.0.0.1:7000"), (Endpoint{Endpoint::Kind::kTcp, "127.0.0.1:7000"}));
  EXPECT_EQ(*ParseEndpoint("[::1]:7000"), (Endpoint{Endpoint::Kind::kTcp, "[::1]:7000"}));
  EXPECT_EQ(*ParseEndpoint("lb.example:7000"), (Endpoint{Endpoint::Kind::kTcp, "lb.example:7000"}));
}

TEST(ParseEndpointTest, RefusesWhatItCannotReach) {
  for (const std::string& text :
       {std::string("unix:"), std::string("/run/x.sock"), std::string("localhost"),
        std::string("host:0"), std::string("host:70000"), std::string("host:x"),
        std::string(":7000"), std::string("[]:7000"), std::string("::1:7000"),
        std::string("http://host:7000"), std::string("[::1]"), std::string(""),
        std::string("unix:/a\0b", 9), std::string("ho\0st:7000", 10),
        "unix:/" + std::string(107, 'x')}) {
    const auto endpoint = ParseEndpoint(text);
    ASSERT_FALSE(endpoint.ok()) << text;
    EXPECT_EQ(GetErrorDetails(endpoint.status()).reason, "BAD_ENDPOINT");
    EXPECT_THAT(std::string(endpoint.status().message()), HasSubstr("unix:PATH or HOST:PORT"));
  }
}

TEST(ParseEndpointTest, TakesTheLongestPathThatASocketAddressHolds) {
  EXPECT_TRUE(ParseEndpoint("unix:/" + std::string(106, 'x')).ok());
}

TEST(FindEndpointTest, PrefersWhatWasChosen) {
  const auto sources = Sources({{"SIDELB_ENDPOINT", "unix:/b"}}, {"/run/sidelb/control.sock"});

  EXPECT_EQ(FindEndpoint("unix:/a", sources)->address, "/a");
  EXPECT_EQ(FindEndpoint("", sources)->address, "/b");
}

TEST(FindEndpointTest, SearchesTheSocketsInOrder) {
  const std::map<std::string, std::string> variables = {{"XDG_RUNTIME_DIR", "/run/user/7"}};

  EXPECT_EQ(FindEndpoint("", Sources(variables, {"/run/sidelb/control.sock",
                                                 "/run/user/7/sidelb/control.sock"}))
                ->address,
            "/run/sidelb/control.sock");
  EXPECT_EQ(FindEndpoint("", Sources(variables, {"/run/user/7/sidelb/control.sock"}))->address,
            "/run/user/7/sidelb/control.sock");
}

TEST(FindEndpointTest, SaysWhereItLookedWhenThereIsNone) {
  const auto endpoint = FindEndpoint("", Sources({{"XDG_RUNTIME_DIR", "/run/user/7"}}, {}));

  EXPECT_TRUE(absl::IsUnavailable(endpoint.status()));
  EXPECT_EQ(GetErrorDetails(endpoint.status()).reason, "UNREACHABLE");
  EXPECT_THAT(std::string(endpoint.status().message()),
              HasSubstr("/run/sidelb/control.sock or /run/user/7/sidelb/control.sock"));
  EXPECT_THAT(std::string(endpoint.status().message()), HasSubstr("--endpoint"));
}

}  // namespace
}  // namespace sidelb::client
