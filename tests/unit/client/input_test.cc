#include "client/cli/input.h"

#include <sstream>

#include "client/cli/exit_code.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "proto/json_syntax.h"

namespace sidelb::client {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

std::string ErrorOf(const absl::Status& status) {
  EXPECT_EQ(ExitCodeFor(status), ExitCode::kUsage);
  return std::string(status.message());
}

TEST(CheckJsonTest, ReturnsTheKeysOfTheObject) {
  EXPECT_THAT(*CheckJson(R"( {"a": [1, -0.5e+3, "x\u00e9\n"], "b": {"a": null}, "c": true} )"),
              ElementsAre("a", "b", "c"));
  EXPECT_THAT(*CheckJson("[ ]"), ElementsAre());
}

TEST(CheckJsonTest, SaysWhereTheTextIsWrong) {
  const auto error = [](std::string_view text) {
    return std::string(CheckJson(text).status().message());
  };
  EXPECT_EQ(error("{\n  \"a\" 1\n}"), "line 2, column 7: expected ':' after the key");
  EXPECT_EQ(error("{\n\"a\": 1,\n}"), "line 3, column 1: expected a key in double quotes");
  EXPECT_EQ(error("{\"a\": 1"), "line 1, column 8: the text ends here, expected ',' or '}'");
  EXPECT_EQ(error(""), "line 1, column 1: the text ends here, expected an object or an array");
  EXPECT_EQ(error("{\"a\": 01}"), "line 1, column 8: expected ',' or '}'");
  EXPECT_EQ(error("{\"a\": nul}"), "line 1, column 7: expected a value");
  EXPECT_EQ(error("[1 2]"), "line 1, column 4: expected ',' or ']'");
  EXPECT_EQ(error("{} x"), "line 1, column 4: expected the end after the closing bracket");
  EXPECT_EQ(error("{\"a\": \"x\ny\"}"),
            "line 1, column 9: a string holds a line end or another control character");
  EXPECT_EQ(error("{\"a\": \"\\x\"}"), "line 1, column 9: a string holds an unknown escape");
  EXPECT_EQ(error("{\"a\": \"\\u12g4\"}"),
            "line 1, column 12: expected four hexadecimal digits after \\u");
  EXPECT_EQ(error("{\"a\": 1.}"), "line 1, column 9: expected a digit");
  EXPECT_EQ(error("{\"a\": \"x"), "line 1, column 9: the text ends here, expected '\"'");
  EXPECT_EQ(error("{\"a\": \"x\\"),
            "line 1, column 10: the text ends here, a string holds an unknown escape");
  EXPECT_EQ(error("{\"a\": 1,\n \"a\": 2}"),
            "line 2, column 2: the key \"a\" stands twice in one object");
}

TEST(CheckJsonTest, EndsBeforeTheStackDoes) {
  EXPECT_TRUE(CheckJson(std::string(64, '[') + std::string(64, ']')).ok());
  EXPECT_THAT(std::string(CheckJson(std::string(100'000, '[')).status().message()),
              HasSubstr("nested too deeply"));
}

TEST(ReadInputTest, ReadsStandardInputWhole) {
  std::istringstream in(std::string(200'000, 'x'));

  EXPECT_EQ(ReadInput("-", in)->size(), 200'000u);
}

TEST(ReadInputTest, NamesTheFileThatItCannotRead) {
  std::istringstream in;

  EXPECT_EQ(ErrorOf(ReadInput("/nonexistent/x.json", in).status()),
            "cannot read /nonexistent/x.json: No such file or directory");
  EXPECT_EQ(ErrorOf(ReadInput("/", in).status()), "cannot read /: it is a directory");
}

TEST(ParseApplyInputTest, TellsStatesFromRequests) {
  const auto state = ParseApplyInput("x", R"({"pools":[{"name":"web"}]})");
  const auto request = ParseApplyInput("x", R"({"owner":"api:a","ops":[{"removeListener":"l"}]})");

  EXPECT_EQ(std::get<pb::State>(*state).pools(0).name(), "web");
  EXPECT_EQ(std::get<pb::ApplyRequest>(*request).ops(0).remove_listener(), "l");
}

TEST(ParseApplyInputTest, NamesFileAndPlaceOfWhatIsWrong) {
  EXPECT_EQ(ErrorOf(ParseApplyInput("a.json", "{\n\"pools\": [}").status()),
            "a.json: line 2, column 11: expected a value");
  EXPECT_THAT(
      ErrorOf(ParseApplyInput("-", R"({"pools":[{"nmae":"web"}]})").status()),
      testing::AllOf(HasSubstr("standard input: "), HasSubstr("pools[0]"), HasSubstr("nmae")));
  EXPECT_THAT(ErrorOf(ParseApplyInput("a.json", R"({"pools":[{"mode":"FAST"}]})").status()),
              testing::AllOf(HasSubstr("pools[0].mode"), HasSubstr("FAST")));
  EXPECT_THAT(ErrorOf(ParseApplyInput("a.json", "{}").status()), HasSubstr("neither a state"));
  EXPECT_THAT(ErrorOf(ParseApplyInput("a.json", "[]").status()), HasSubstr("neither a state"));
}

TEST(ParseBackendListTest, ReadsLines) {
  const auto backends = ParseBackendList("x",
                                         "# the web servers\r\n"
                                         "10.0.0.5:80 weight=50 zone=a  # first\r\n"
                                         "\n"
                                         "[2001:DB8::5]:80 max-connections=9 group=g\n");

  ASSERT_EQ(backends->size(), 2u);
  EXPECT_EQ((*backends)[0].address(), "10.0.0.5:80");
  EXPECT_EQ((*backends)[0].weight(), 50u);
  EXPECT_EQ((*backends)[0].zone(), "a");
  EXPECT_EQ((*backends)[1].address(), "[2001:db8::5]:80");
  EXPECT_FALSE((*backends)[1].has_weight());
  EXPECT_EQ((*backends)[1].max_connections(), 9u);
  EXPECT_EQ((*backends)[1].group(), "g");
}

TEST(ParseBackendListTest, TakesAnIpv6AddressFirstForALine) {
  EXPECT_EQ(ParseBackendList("x", "[::1]:80\n")->front().address(), "[::1]:80");
  EXPECT_THAT(ErrorOf(ParseBackendList("x", "[::z]:80\n").status()),
              HasSubstr("x: line 1: \"[::z]:80\" is not an IPv6 address"));
}

TEST(ParseBackendListTest, ReadsJson) {
  EXPECT_EQ((*ParseBackendList("x", R"({"backends":[{"address":"10.0.0.5:80","weight":7}]})"))[0]
                .weight(),
            7u);
  EXPECT_EQ((*ParseBackendList("x", R"( [ {"address":"10.0.0.5:80"} ])"))[0].address(),
            "10.0.0.5:80");
  EXPECT_TRUE(ParseBackendList("x", "[]")->empty());
  EXPECT_TRUE(ParseBackendList("x", " \n# nothing\n")->empty());
}

TEST(ParseBackendListTest, NamesTheLineOrTheElementThatIsWrong) {
  EXPECT_THAT(ErrorOf(ParseBackendList("b.txt", "10.0.0.5:80\nweb-1:80\n").status()),
              HasSubstr("b.txt: line 2: \"web-1:80\" is not an IP address"));
  EXPECT_EQ(ErrorOf(ParseBackendList("b.txt", "10.0.0.5:80 weight=x\n").status()),
            "b.txt: line 1: weight: \"x\" is not a number from 0 to 65535");
  EXPECT_THAT(ErrorOf(ParseBackendList("b.txt", "10.0.0.5:80 colour=red\n").status()),
              HasSubstr("b.txt: line 1: \"colour=red\" is not allowed; allowed: weight=N"));
  EXPECT_EQ(ErrorOf(ParseBackendList("b.txt", "10.0.0.5:80\n10.0.0.5:080\n").status()),
            "b.txt: line 2: \"10.0.0.5:80\" stands twice");
  EXPECT_EQ(ErrorOf(ParseBackendList("b.json", R"([{"address":"10.0.0.5:80"},
                                                   {"address":"10.0.0.5:80"}])")
                        .status()),
            "b.json: backends[1].address: \"10.0.0.5:80\" stands also in backends[0]");
  EXPECT_THAT(ErrorOf(ParseBackendList("b.json", R"([{"weight":5}])").status()),
              HasSubstr("b.json: backends[0].address: \"\" has no port"));
}

}  // namespace
}  // namespace sidelb::client
