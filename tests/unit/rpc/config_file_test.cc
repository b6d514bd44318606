#include "server/config_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "server/control/errors.h"

namespace sidelb::server {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

constexpr char kWeb[] = R"({
  "listeners": [{"name": "front", "address": "127.0.0.1:8080", "pool": "web"}],
  "pools": [{"name": "web", "mode": "MODE_P2C"}],
  "backends": [
    {"pool": "web", "address": "10.0.0.1:80"},
    {"pool": "web", "address": "10.0.0.2:80",
     "claims": [{"owner": "api:nomad", "spec": {"weight": 50}}]}
  ]
})";

std::string ErrorOf(const std::string& text) {
  const auto config = ParseConfig("web.json", text, {});
  EXPECT_FALSE(config.ok());
  return std::string(config.status().message());
}

TEST(ConfigFile, BecomesOneApplyOfStatic) {
  const auto config = ParseConfig("web.json", kWeb, {});
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->request.owner, "static");
  EXPECT_TRUE(config->request.is_provider);
  EXPECT_EQ(config->backends, 2u);
  EXPECT_THAT(config->names.pools, ElementsAre("web"));
  EXPECT_THAT(config->names.listeners, ElementsAre("front"));
  ASSERT_EQ(config->request.ops.size(), 3u);
  const auto& pool = std::get<control::PutPool>(config->request.ops[0].op);
  EXPECT_EQ(pool.spec.mode, Mode::kP2c);
  const auto& set = std::get<control::ReplaceBackends>(config->request.ops[1].op);
  ASSERT_EQ(set.backends.size(), 2u);
  EXPECT_EQ(set.backends[0].address.ToString(), "10.0.0.1:80");
  EXPECT_EQ(set.backends[1].address.ToString(), "10.0.0.2:80");
  EXPECT_EQ(set.backends[1].weight, 50u);
  EXPECT_EQ(std::get<control::PutListener>(config->request.ops[2].op).spec.name, "front");
}

TEST(ConfigFile, RemovesWhatAnEarlierReadingNamed) {
  const auto config =
      ParseConfig("web.json", kWeb, {.listeners = {"front", "old"}, .pools = {"gone", "web"}});
  ASSERT_TRUE(config.ok()) << config.status();
  const auto& ops = config->request.ops;
  ASSERT_EQ(ops.size(), 6u);
  // First, so that another listener may take the address.
  EXPECT_EQ(std::get<control::RemoveListener>(ops[0].op).name, "old");
  // Last, when no listener leads there any more.
  EXPECT_EQ(std::get<control::ReplaceBackends>(ops[4].op).pool, "gone");
  EXPECT_TRUE(std::get<control::ReplaceBackends>(ops[4].op).backends.empty());
  EXPECT_EQ(std::get<control::RemovePool>(ops[5].op).pool, "gone");
  EXPECT_FALSE(std::get<control::RemovePool>(ops[5].op).force);
}

TEST(ConfigFile, APoolWithoutBackendsLosesThoseOfStatic) {
  const auto config = ParseConfig("f", R"({"pools": [{"name": "web"}]})", {});
  ASSERT_TRUE(config.ok()) << config.status();
  ASSERT_EQ(config->request.ops.size(), 2u);
  EXPECT_TRUE(std::get<control::ReplaceBackends>(config->request.ops[1].op).backends.empty());
}

TEST(ConfigFile, LeavesOutWhatIsNotOfStatic) {
  const auto config = ParseConfig("f", R"({"pools": [{"name": "web"}], "backends": [
      {"pool": "web", "address": "10.0.0.1:80", "claims": [{"owner": "ring:web.example"}]},
      {"pool": "web", "address": "10.0.0.2:80", "status": {"state": "BACKEND_STATE_REMOVING"}},
      {"pool": "web", "address": "10.0.0.3:80", "override": {"adminState": "ADMIN_STATE_DRAINING"}}
    ]})",
                                  {});
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->backends, 1u);
  EXPECT_EQ(config->overrides_left_out, 1u);
}

TEST(ConfigFile, ErrorsNameTheFileThePlaceAndWhatIsAllowed) {
  EXPECT_THAT(ErrorOf("{\n  \"pools\": [}"), HasSubstr("web.json: line 2"));
  EXPECT_THAT(ErrorOf(R"({"pool": []})"), HasSubstr("web.json: "));
  EXPECT_THAT(ErrorOf("{}"), HasSubstr("web.json: names no listener"));
  EXPECT_EQ(ErrorOf(R"({"pools": [{"name": "b"}],
                        "backends": [{"pool": "web", "address": "10.0.0.1:80"}]})"),
            "web.json: backends[0].pool: 'web' is not one of the file's pools");
  EXPECT_THAT(ErrorOf(R"({"pools": [{"name": "a"}, {"name": "a"}]})"),
              HasSubstr("pools[1]: 'a' stands twice"));
  EXPECT_THAT(ErrorOf(R"({"pools": [{"name": "a"}], "backends": [
                          {"pool": "a", "address": "10.0.0.1:80"},
                          {"pool": "a", "address": "10.0.0.1:80"}]})"),
              HasSubstr("backends[1]: 'a/10.0.0.1:80' stands twice"));
  EXPECT_THAT(ErrorOf(R"({"pools": [{"name": "a"}], "backends": [
                          {"pool": "a", "address": "ten"}]})"),
              HasSubstr("web.json: backends[0].address"));
  EXPECT_THAT(ErrorOf(R"({"pools": [{"name": "a", "localZone": "z"}]})"),
              HasSubstr("pools[0].local_zone"));
  EXPECT_THAT(ErrorOf(R"({"pools": [{"name": "a"}], "backends": [{"pool": "a",
                          "address": "10.0.0.1:80",
                          "claims": [{"spec": {"address": "10.0.0.2:80"}}]}]})"),
              HasSubstr("spec.address '10.0.0.2:80' is not the backend's '10.0.0.1:80'"));
}

TEST(ConfigFile, WhatControlRefusesIsToldInTheWordsOfTheFile) {
  const auto config = ParseConfig("web.json", kWeb, {});
  ASSERT_TRUE(config.ok()) << config.status();
  const auto say = [&](const char* field) {
    return std::string(
        InWordsOfFile("web.json", *config, control::BadField(field, "no")).message());
  };
  EXPECT_EQ(say("ops[0].put_pool.health_check.rise"), "web.json: pools[0].health_check.rise: no");
  EXPECT_EQ(say("ops[0].put_pool"), "web.json: pools[0]: no");
  EXPECT_EQ(say("ops[1].replace_backends.backends[1].weight"),
            "web.json: backends of pool 'web'.backends[1].weight: no");
  EXPECT_EQ(say("ops[2].put_listener.address"), "web.json: listeners[0].address: no");
  EXPECT_EQ(say("ops[9].put_listener.address"), "web.json: ops[9].put_listener.address: no");
  EXPECT_TRUE(InWordsOfFile("web.json", *config, absl::OkStatus()).ok());
}

TEST(ConfigFile, AFileThatCannotBeReadIsNamed) {
  const auto text = ReadConfigFile("/nonexistent/web.json");
  EXPECT_EQ(text.status().code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(text.status().message()), HasSubstr("/nonexistent/web.json"));
  EXPECT_THAT(std::string(ReadConfigFile("/tmp").status().message()), HasSubstr("directory"));
}

}  // namespace
}  // namespace sidelb::server
