// The values of options: every parser gets the same text.
#include "client/cli/values.h"
#include "dataplane/base/address.h"
#include "dataplane/pool/picker.h"
#include "tests/fuzz/fuzz.h"

using sidelb::fuzz::Require;
namespace client = sidelb::client;
namespace pb = sidelb::v1;

namespace {

void CheckAddress(std::string_view text) {
  const auto address = client::ParseAddress(text, client::PortZero::kAllowed);
  const auto known = sidelb::Address::Parse(text);
  Require(address.ok() == known.ok(), "CLI and daemon take the same addresses", text);
  const auto refused = client::ParseAddress(text, client::PortZero::kRefused);
  if (!address.ok()) {
    Require(!refused.ok(), "what is no address is none without port 0", text);
    return;
  }
  Require(*address == known->ToString(), "and write them alike", text);
  Require(refused.ok() == (known->port() != 0), "port 0 is refused where it is", text);
  Require(client::LooksLikeAddress(text), "an address looks like one", text);
}

void CheckDuration(std::string_view text) {
  const auto duration = client::ParseDuration(text);
  if (!duration.ok()) return;
  Require(*duration >= absl::ZeroDuration() && *duration <= absl::Hours(240'000),
          "a duration has limits", text);
  const auto proto = client::ToProto(*duration);
  Require(proto.seconds() >= 0 && proto.nanos() >= 0 && proto.nanos() < 1'000'000'000,
          "its message is valid", text);
  const absl::Duration lost = *duration - client::FromProto(proto);
  Require(lost >= absl::ZeroDuration() && lost < absl::Nanoseconds(1), "and keeps the nanoseconds",
          text);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text = sidelb::fuzz::Text(data, size);
  CheckAddress(text);
  CheckDuration(text);
  if (const auto mode = client::ParseMode(text); mode.ok()) {
    const std::string word = client::Word(pb::Mode_Name(*mode), "MODE_");
    const auto again = client::ParseMode(word);
    Require(again.ok() && *again == *mode, "the word of a mode is a mode", word);
  }
  if (const auto tag = client::ParseTag(text); tag.ok()) {
    Require(tag->first + "=" + tag->second == text, "a tag is its key and its value", text);
  }
  if (const auto number = client::ParseNumber(text, 3, 70'000); number.ok()) {
    Require(*number >= 3 && *number <= 70'000, "a number has limits", text);
  }
  (void)client::ParseDrainAction(text).ok();
  (void)client::ParseBackendState(text).ok();
  (void)client::ParseProtocol(text).ok();
  (void)sidelb::ParseMode(text);
  return 0;
}
