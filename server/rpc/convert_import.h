// import_state, from the API to the model.
//
// Thread safety: pure. Errors: as of convert_request.h, kept in `error`.
#pragma once

#include "server/control/model.h"
#include "server/rpc/field_path.h"
#include "server/rpc/first_error.h"
#include "sidelb/v1/control.pb.h"

namespace sidelb::rpc {

// Backends that only drained their last sessions when the state was read are passed over.
control::ImportState ImportFromProto(const sidelb::v1::Import& proto, const FieldPath& path,
                                     FirstError* error);

}  // namespace sidelb::rpc
