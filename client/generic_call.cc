#include "client/generic_call.h"

#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/support/byte_buffer.h>

#include <string>

#include "fmt/format.h"

namespace sidelb::client {
namespace {

bool Parse(const grpc::ByteBuffer& buffer, google::protobuf::Message* message) {
  grpc::Slice slice;
  if (!buffer.DumpToSingleSlice(&slice).ok()) return false;
  return message->ParseFromArray(slice.begin(), static_cast<int>(slice.size()));
}

// One step at a time: each waits for the one before it.
class Steps {
 public:
  grpc::CompletionQueue* queue() { return &queue_; }
  // Whether the step that was begun last succeeded.
  bool Wait() {
    void* tag = nullptr;
    bool is_ok = false;
    return queue_.Next(&tag, &is_ok) && is_ok;
  }

 private:
  grpc::CompletionQueue queue_;
};

}  // namespace

grpc::Status CallMethod(const std::shared_ptr<grpc::ChannelInterface>& channel,
                        const google::protobuf::MethodDescriptor& method,
                        const google::protobuf::Message& request,
                        const std::function<bool(const google::protobuf::Message&)>& on_response,
                        grpc::ClientContext* context) {
  grpc::GenericStub stub(channel);
  Steps steps;
  const auto call = stub.PrepareCall(
      context, fmt::format("/{}/{}", method.service()->full_name(), method.name()), steps.queue());
  call->StartCall(nullptr);
  bool is_good = steps.Wait();
  if (is_good) {
    const grpc::Slice slice(request.SerializeAsString());
    call->WriteLast(grpc::ByteBuffer(&slice, 1), grpc::WriteOptions(), nullptr);
    steps.Wait();  // whatever became of it: Finish() says why
  }
  const std::unique_ptr<google::protobuf::Message> response(
      google::protobuf::MessageFactory::generated_factory()
          ->GetPrototype(method.output_type())
          ->New());
  bool is_understood = true;
  while (is_good) {
    grpc::ByteBuffer buffer;
    call->Read(&buffer, nullptr);
    if (!steps.Wait()) break;
    response->Clear();
    is_understood = Parse(buffer, response.get());
    if (is_understood && on_response(*response)) continue;
    context->TryCancel();
    is_good = false;
  }
  grpc::Status status;
  call->Finish(&status, nullptr);
  steps.Wait();
  if (is_understood) return status;
  return {grpc::StatusCode::INTERNAL,
          fmt::format("the answer is no {}", method.output_type()->full_name())};
}

}  // namespace sidelb::client
