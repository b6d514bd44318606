#include "client/cli/raw_methods.h"

#include "sidelb/v1/control.pb.h"

namespace sidelb::client {
namespace {

const google::protobuf::ServiceDescriptor& Service() {
  return *sidelb::v1::ApplyRequest::descriptor()->file()->FindServiceByName("ControlService");
}

}  // namespace

std::vector<std::string> RawMethods() {
  std::vector<std::string> names;
  for (int i = 0; i < Service().method_count(); ++i) names.push_back(Service().method(i)->name());
  return names;
}

const google::protobuf::MethodDescriptor* FindRawMethod(std::string_view name) {
  return Service().FindMethodByName(std::string(name));
}

}  // namespace sidelb::client
