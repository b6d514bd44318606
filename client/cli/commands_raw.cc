// raw.
#include <memory>

#include "client/cli/commands.h"
#include "client/cli/input.h"
#include "client/cli/json_output.h"
#include "client/cli/raw_methods.h"
#include "client/cli/report.h"
#include "google/protobuf/message.h"

namespace sidelb::client {
namespace {

absl::StatusOr<std::string> RequestText(const Invocation& invocation, const std::string& words) {
  if (words == "-") return ReadInput("-", invocation.streams.in);
  if (words.starts_with('@')) return ReadInput(words.substr(1), invocation.streams.in);
  return words;
}

std::string NameOfInput(const std::string& words) {
  if (words == "-") return "standard input";
  return words.starts_with('@') ? words.substr(1) : "the request";
}

}  // namespace

ExitCode RunCommand(const Invocation& invocation, const RawCommand& command) {
  const Output output = invocation.arguments.global.output;
  const Streams& streams = invocation.streams;
  const google::protobuf::MethodDescriptor& method = *FindRawMethod(command.method);
  const auto text = RequestText(invocation, command.request);
  if (!text.ok()) return PrintError(text.status(), output, streams);
  const std::unique_ptr<google::protobuf::Message> request(
      google::protobuf::MessageFactory::generated_factory()
          ->GetPrototype(method.input_type())
          ->New());
  if (auto status = ParseJson(NameOfInput(command.request), *text, request.get()); !status.ok()) {
    return PrintError(status, output, streams);
  }
  const bool is_line = method.server_streaming() || output == Output::kJsonLines;
  const absl::Status status =
      invocation.calls.call(method, *request, [&](const google::protobuf::Message& response) {
        streams.out << ToJson(response, is_line ? JsonLayout::kLine : JsonLayout::kIndented,
                              JsonFields::kAll);
        streams.out.flush();
        return static_cast<bool>(streams.out);
      });
  return status.ok() ? ExitCode::kOk : PrintError(status, output, streams);
}

}  // namespace sidelb::client
