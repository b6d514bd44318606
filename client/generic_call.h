// Calls a method of the control service by its description, so that no method needs code of its
// own.
//
// Thread safety: CallMethod() may be called by any thread; it blocks its caller.
#pragma once

#include <grpcpp/grpcpp.h>

#include <functional>
#include <memory>

#include "google/protobuf/descriptor.h"
#include "google/protobuf/message.h"

namespace sidelb::client {

// Gives each response to `on_response`, which cancels the call by returning false. Returns the
// call's own end; INTERNAL for a response that is no message of the method's type.
grpc::Status CallMethod(const std::shared_ptr<grpc::ChannelInterface>& channel,
                        const google::protobuf::MethodDescriptor& method,
                        const google::protobuf::Message& request,
                        const std::function<bool(const google::protobuf::Message&)>& on_response,
                        grpc::ClientContext* context);

}  // namespace sidelb::client
