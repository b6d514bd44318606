// Details of errors as they come from the wire: the bytes of a google.rpc.Status.
#include "client/error_details.h"
#include "google/rpc/error_details.pb.h"
#include "tests/fuzz/fuzz.h"

using sidelb::fuzz::Require;
namespace client = sidelb::client;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string bytes(sidelb::fuzz::Text(data, size));
  const absl::Status status = client::WithSerializedDetails(absl::AbortedError("why"), bytes);
  Require(absl::IsAborted(status) && status.message() == "why", "code and message stay");
  const client::ErrorDetails details = client::GetErrorDetails(status);
  const absl::Status again = client::WithSerializedDetails(
      absl::AbortedError("why"), client::ToRpcStatus(status).SerializeAsString());
  Require(client::GetErrorDetails(again).reason == details.reason, "details are kept on the way");
  return 0;
}
