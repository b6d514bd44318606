// Files of `apply`: a state or a request as JSON.
#include <algorithm>
#include <variant>

#include "client/cli/compile_state.h"
#include "client/cli/exit_code.h"
#include "client/cli/input.h"
#include "client/cli/json_output.h"
#include "google/protobuf/util/message_differencer.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/mutate_message.h"

using google::protobuf::util::MessageDifferencer;
using sidelb::fuzz::Require;
namespace client = sidelb::client;
namespace pb = sidelb::v1;

namespace {

void RequireUsageError(const absl::Status& status) {
  Require(client::ExitCodeFor(status) == client::ExitCode::kUsage, "a wrong file is a usage error",
          std::string(status.message()));
}

void PlanState(const pb::State& state) {
  for (const bool adopts : {false, true}) {
    for (const bool prunes : {false, true}) {
      const client::ApplyFileCommand command{.file = "-", .prunes = prunes, .adopts = adopts};
      const auto plan =
          client::PlanApplyState({}, command, state, client::CurrentState{.state = state});
      if (!plan.ok()) RequireUsageError(plan.status());
    }
  }
  client::PlanImport({}, {.file = "-"}, state);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string text(sidelb::fuzz::Text(data, size));
  const auto input = client::ParseApplyInput("-", text);
  if (!input.ok()) {
    RequireUsageError(input.status());
    return 0;
  }
  if (const auto* request = std::get_if<pb::ApplyRequest>(&*input)) {
    const auto plan = client::PlanApplyRequest({}, {.file = "-"}, *request);
    if (!plan.ok()) RequireUsageError(plan.status());
    return 0;
  }
  const auto& state = std::get<pb::State>(*input);
  PlanState(state);

  const pb::State exported = client::WithoutOutput(state);
  if (exported.listeners().empty() && exported.pools().empty() && exported.backends().empty()) {
    return 0;
  }
  const auto again = client::ParseApplyInput(
      "-", client::ToJson(exported, client::JsonLayout::kIndented, client::JsonFields::kSet));
  Require(again.ok(), "what export prints is read", text);
  Require(MessageDifferencer::Equals(std::get<pb::State>(*again), exported), "and means the same",
          text);
  return 0;
}

extern "C" size_t LLVMFuzzerMutate(uint8_t* data, size_t size, size_t max_size);

// Half of the time a state is changed by its fields, so that there are more than syntax errors.
extern "C" size_t LLVMFuzzerCustomMutator(uint8_t* data, size_t size, size_t max_size,
                                          unsigned seed) {
  sidelb::fuzz::Random random(seed);
  if (random() % 2 == 0) return LLVMFuzzerMutate(data, size, max_size);
  const auto input = client::ParseApplyInput("-", std::string(sidelb::fuzz::Text(data, size)));
  if (!input.ok()) return LLVMFuzzerMutate(data, size, max_size);
  std::string text;
  const auto mutate = [&](auto message) {
    sidelb::fuzz::MutateMessage(&message, random);
    text = client::ToJson(message, client::JsonLayout::kLine, client::JsonFields::kSet);
  };
  std::visit(mutate, *input);
  if (text.size() > max_size) return LLVMFuzzerMutate(data, size, max_size);
  std::copy(text.begin(), text.end(), data);
  return text.size();
}
