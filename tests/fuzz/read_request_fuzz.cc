// GetState, Watch and GetStats as they are asked for: one message after the other, each after its
// length.
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>
#include <google/protobuf/util/delimited_message_util.h>

#include <algorithm>
#include <initializer_list>

#include "server/control/errors.h"
#include "server/rpc/convert_request.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/mutate_message.h"

using sidelb::fuzz::Require;
namespace pb = sidelb::v1;
namespace rpc = sidelb::rpc;

namespace {

struct Requests {
  pb::GetStateRequest read;
  pb::WatchRequest watch;
  pb::GetStatsRequest stats;
};

Requests Read(const uint8_t* data, size_t size) {
  google::protobuf::io::ArrayInputStream stream(data, static_cast<int>(size));
  Requests requests;
  bool is_end = false;
  for (google::protobuf::Message* message : std::initializer_list<google::protobuf::Message*>{
           &requests.read, &requests.watch, &requests.stats}) {
    if (!google::protobuf::util::ParseDelimitedFromZeroCopyStream(message, &stream, &is_end)) break;
  }
  return requests;
}

void RequireGoodError(const absl::Status& status) {
  Require(absl::IsInvalidArgument(status) || absl::IsUnimplemented(status),
          "a wrong request is INVALID_ARGUMENT or UNIMPLEMENTED", status.ToString());
  const auto details = sidelb::control::GetErrorDetails(status);
  Require(details.has_value() && !details->reason.empty() && !details->violations.empty(),
          "an error names the field", status.ToString());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const Requests requests = Read(data, size);
  const auto query = rpc::FromProto(requests.read);
  if (query.ok()) {
    Require(query->page_size >= 1 && query->page_size <= 2'000, "a page has 1 to 2000 objects");
  } else {
    RequireGoodError(query.status());
  }
  const auto watch = rpc::FromProto(requests.watch);
  if (watch.ok()) {
    Require(watch->heartbeat_interval >= absl::Seconds(1), "a heartbeat is no flood");
  } else {
    RequireGoodError(watch.status());
  }
  const auto stats = rpc::FromProto(requests.stats);
  if (!stats.ok()) RequireGoodError(stats.status());
  return 0;
}

extern "C" size_t LLVMFuzzerMutate(uint8_t* data, size_t size, size_t max_size);

extern "C" size_t LLVMFuzzerCustomMutator(uint8_t* data, size_t size, size_t max_size,
                                          unsigned seed) {
  sidelb::fuzz::Random random(seed);
  if (random() % 16 == 0) return LLVMFuzzerMutate(data, size, max_size);
  Requests requests = Read(data, size);
  switch (random() % 3) {
    case 0:
      sidelb::fuzz::MutateMessage(&requests.read, random);
      break;
    case 1:
      sidelb::fuzz::MutateMessage(&requests.watch, random);
      break;
    default:
      sidelb::fuzz::MutateMessage(&requests.stats, random);
  }
  std::string bytes;
  {
    google::protobuf::io::StringOutputStream stream(&bytes);
    google::protobuf::util::SerializeDelimitedToZeroCopyStream(requests.read, &stream);
    google::protobuf::util::SerializeDelimitedToZeroCopyStream(requests.watch, &stream);
    google::protobuf::util::SerializeDelimitedToZeroCopyStream(requests.stats, &stream);
  }
  if (bytes.size() > max_size) return LLVMFuzzerMutate(data, size, max_size);
  std::copy(bytes.begin(), bytes.end(), data);
  return bytes.size();
}
