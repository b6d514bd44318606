// `--config FILE`: JSON of listeners, pools and backends.
#include "server/config_file.h"

#include <string>

#include "server/control/batch.h"
#include "tests/fuzz/fuzz.h"

using sidelb::fuzz::Require;
namespace server = sidelb::server;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string text(sidelb::fuzz::Text(data, size));
  const server::ConfigNames before{.listeners = {"gone"}, .pools = {"gone"}};
  const auto config = server::ParseConfig("file", text, before);
  if (!config.ok()) {
    Require(config.status().code() == absl::StatusCode::kInvalidArgument, "a wrong file is refused",
            std::string(config.status().message()));
    Require(config.status().message().substr(0, 6) == "file: ", "the error names the file",
            std::string(config.status().message()));
    return 0;
  }
  Require(config->places.size() == config->request.ops.size(), "every op has its place", text);
  // Read twice in a row it changes nothing the second time.
  const auto first = server::ParseConfig("file", text, {});
  Require(first.ok(), "names of before make no file wrong", text);
  const auto change = sidelb::control::ApplyBatch({}, first->request);
  if (!change.ok()) {
    const auto told = server::InWordsOfFile("file", *first, change.status());
    Require(told.message().substr(0, 6) == "file: ", "the error names the file",
            std::string(told.message()));
    return 0;
  }
  const auto again = server::ParseConfig("file", text, first->names);
  Require(again.ok(), "its own names make no file wrong", text);
  const auto second = sidelb::control::ApplyBatch(change->next, again->request);
  Require(second.ok() && !second->has_changed, "the same file changes nothing", text);
  return 0;
}
