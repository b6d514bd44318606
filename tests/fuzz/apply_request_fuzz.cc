// Apply, from its bytes to the desired state: CheckWrite, FromProto and ApplyBatch, one request
// after the other on one state. The input holds the requests, each after its length.
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>
#include <google/protobuf/util/delimited_message_util.h>

#include <set>
#include <variant>

#include "server/control/batch.h"
#include "server/control/errors.h"
#include "server/rpc/convert_request.h"
#include "server/rpc/convert_resources.h"
#include "server/rpc/status.h"
#include "server/rpc/supported_fields.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/mutate_message.h"

using sidelb::Address;
using sidelb::fuzz::Require;
namespace control = sidelb::control;
namespace rpc = sidelb::rpc;
namespace pb = sidelb::v1;

namespace {

constexpr size_t kMaxRequests = 16;
constexpr size_t kMaxTrailerBytes = 8'192;

std::vector<pb::ApplyRequest> Read(const uint8_t* data, size_t size) {
  google::protobuf::io::ArrayInputStream stream(data, static_cast<int>(size));
  std::vector<pb::ApplyRequest> requests;
  while (requests.size() < kMaxRequests) {
    pb::ApplyRequest request;
    bool is_end = false;
    if (!google::protobuf::util::ParseDelimitedFromZeroCopyStream(&request, &stream, &is_end)) {
      break;
    }
    requests.push_back(std::move(request));
  }
  return requests;
}

// What an input begins with that holds no request.
std::vector<pb::ApplyRequest> FirstRequests() {
  pb::ApplyRequest create;
  create.add_ops()->mutable_put_pool()->set_name("web");
  pb::BackendSet* upsert = create.add_ops()->mutable_upsert_backends();
  upsert->set_pool("web");
  upsert->add_backends()->set_address("10.0.0.1:80");
  upsert->add_backends()->set_address("10.0.0.2:80");
  upsert->mutable_backends(1)->set_weight(5);
  pb::Listener* listener = create.add_ops()->mutable_put_listener();
  listener->set_name("a");
  listener->set_address("0.0.0.0:80");
  listener->set_pool("web");

  pb::ApplyRequest change;
  change.set_owner("api:b");
  pb::BackendSet* replace = change.add_ops()->mutable_replace_backends();
  replace->set_pool("web");
  replace->add_backends()->set_address("10.0.0.1:80");
  pb::SetOverride* override = change.add_ops()->mutable_set_override();
  override->set_pool("web");
  override->mutable_selector()->set_all(true);
  override->mutable_override()->set_admin_state(pb::ADMIN_STATE_DRAINING);
  change.add_ops()->mutable_set_mode()->set_pool("web");
  change.mutable_ops(2)->mutable_set_mode()->set_mode(pb::MODE_P2C);

  pb::ApplyRequest remove;
  pb::RemoveBackends* backends = remove.add_ops()->mutable_remove_backends();
  backends->set_pool("web");
  backends->add_addresses("10.0.0.2:80");
  remove.add_ops()->set_remove_listener("a");

  pb::ApplyRequest end;
  end.add_ops()->mutable_remove_pool()->set_pool("web");
  end.mutable_ops(0)->mutable_remove_pool()->set_force(true);
  return {create, change, remove, end};
}

void RequireSound(const control::DesiredState& state) {
  size_t backends = 0;
  for (const auto& [name, pool] : state.pools) {
    Require(pool->object->spec.name == name, "a pool stands under its name", name);
    Require(pool->object->revision <= state.revision, "a pool is not newer than the state", name);
    for (const auto& [address, backend] : pool->backends) {
      ++backends;
      Require(!backend->claims.empty(), "a backend has a claim", address.ToString());
      Require(backend->pool == name && backend->address == address,
              "a backend stands under its address", address.ToString());
      Require(backend->revision <= pool->object->revision, "the pool's revision follows", name);
      Require(control::EffectiveWeight(backend->effective) <= control::kMaxWeight,
              "a weight is within its limit", address.ToString());
      std::set<std::string> owners;
      for (const control::Claim& claim : backend->claims) {
        Require(owners.insert(claim.owner).second, "an owner has one claim", claim.owner);
        Require(claim.spec.address == address, "a claim is of its backend", address.ToString());
      }
    }
  }
  Require(state.backend_count == backends, "backends are counted");
  Require(backends <= control::kMaxBackends, "there are not too many backends");
  std::set<std::pair<bool, std::string>> addresses;
  for (const auto& [name, listener] : state.listeners) {
    const control::ListenerSpec& spec = listener->spec;
    Require(state.FindPool(spec.pool) != nullptr, "the pool of a listener exists", name);
    Require(listener->revision <= state.revision, "a listener is not newer than the state", name);
    if (spec.disabled || spec.address.port() == 0) continue;
    const bool is_udp = spec.protocol == control::Protocol::kUdp;
    Require(addresses.emplace(is_udp, spec.address.ToString()).second,
            "one listener has an address", name);
  }
}

// What an export holds gives back exactly what was put in.
void RequireLossless(const control::DesiredState& state) {
  for (const auto& [name, listener] : state.listeners) {
    const auto again = rpc::FromProto(rpc::ToProto(listener->spec), {});
    Require(again.ok() && *again == listener->spec, "a listener is exported whole", name);
  }
  for (const auto& [name, pool] : state.pools) {
    const auto again = rpc::FromProto(rpc::ToProto(pool->object->spec), {});
    Require(again.ok() && *again == pool->object->spec, "a pool is exported whole", name);
    for (const auto& [address, backend] : pool->backends) {
      for (const control::Claim& claim : backend->claims) {
        const auto spec = rpc::FromProto(rpc::ToProto(claim.spec), {});
        Require(spec.ok() && *spec == claim.spec, "a claim is exported whole", address.ToString());
      }
    }
  }
}

// Whether what `request` asks for is so already once it is done. A removed pool makes an op before
// it on that pool wrong the next time; what an override selects may depend on it.
bool IsRepeatable(const control::ApplyRequest& request) {
  for (const control::Op& op : request.ops) {
    if (std::holds_alternative<control::RemovePool>(op.op) && request.ops.size() > 1) return false;
    if (std::holds_alternative<control::SetOverride>(op.op)) return false;
  }
  return true;
}

void RequireIdempotent(const control::DesiredState& state, control::ApplyRequest request) {
  request.expected_revision.reset();
  for (control::Op& op : request.ops) op.expected_revision.reset();
  const auto again = control::ApplyBatch(state, request, absl::UnixEpoch());
  Require(again.ok(), "what was accepted is accepted again", std::string(again.status().message()));
  Require(!again->has_changed && again->next.revision == state.revision &&
              again->next.pools == state.pools && again->next.listeners == state.listeners,
          "and changes nothing then");
}

void RequireGoodError(const absl::Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kInvalidArgument:
    case absl::StatusCode::kNotFound:
    case absl::StatusCode::kAlreadyExists:
    case absl::StatusCode::kFailedPrecondition:
    case absl::StatusCode::kAborted:
    case absl::StatusCode::kResourceExhausted:
    case absl::StatusCode::kUnimplemented:
      break;
    default:
      Require(false, "an error has one of the codes of the API", status.ToString());
  }
  const auto details = control::GetErrorDetails(status);
  Require(details.has_value() && !details->reason.empty(), "an error has a reason",
          status.ToString());
  const grpc::Status sent = rpc::ToGrpcStatus(status);
  Require(sent.error_message().size() + sent.error_details().size() < kMaxTrailerBytes,
          "an error fits into the trailers", sent.error_message());
}

// One Apply. Returns the state after it.
control::DesiredState Apply(const control::DesiredState& state, const pb::ApplyRequest& bytes) {
  if (const absl::Status status = rpc::CheckWrite(bytes); !status.ok()) {
    RequireGoodError(status);
    return state;
  }
  const absl::StatusOr<control::ApplyRequest> request = rpc::FromProto(bytes);
  if (!request.ok()) {
    RequireGoodError(request.status());
    return state;
  }
  const auto change = control::ApplyBatch(state, *request, absl::UnixEpoch());
  if (!change.ok()) {
    RequireGoodError(change.status());
    return state;
  }
  Require(change->results.size() == request->ops.size(), "each op has a result");
  Require(change->next.revision == state.revision + (change->has_changed ? 1 : 0),
          "a change is one revision");
  RequireSound(change->next);
  RequireLossless(change->next);
  if (IsRepeatable(*request)) RequireIdempotent(change->next, *request);
  return change->next;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  control::DesiredState state;
  state.revision = 1;
  for (const pb::ApplyRequest& request : Read(data, size)) state = Apply(state, request);
  return 0;
}

extern "C" size_t LLVMFuzzerMutate(uint8_t* data, size_t size, size_t max_size);

extern "C" size_t LLVMFuzzerCustomMutator(uint8_t* data, size_t size, size_t max_size,
                                          unsigned seed) {
  sidelb::fuzz::Random random(seed);
  if (random() % 16 == 0) return LLVMFuzzerMutate(data, size, max_size);
  std::vector<pb::ApplyRequest> requests = Read(data, size);
  if (requests.empty()) requests = FirstRequests();
  const size_t one = random() % requests.size();
  switch (random() % 8) {
    case 0:
      requests.insert(requests.begin() + static_cast<ptrdiff_t>(one), requests[one]);
      break;
    case 1:
      requests.erase(requests.begin() + static_cast<ptrdiff_t>(one));
      break;
    default:
      sidelb::fuzz::MutateMessage(&requests[one], random);
  }
  std::string bytes;
  {
    google::protobuf::io::StringOutputStream stream(&bytes);
    for (const pb::ApplyRequest& request : requests) {
      google::protobuf::util::SerializeDelimitedToZeroCopyStream(request, &stream);
    }
  }
  if (bytes.size() > max_size) return LLVMFuzzerMutate(data, size, max_size);
  std::copy(bytes.begin(), bytes.end(), data);
  return bytes.size();
}
