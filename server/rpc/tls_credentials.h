// Credentials of a TLS endpoint whose files may be replaced while it serves: each new connection
// uses what TlsFiles has then. gRPC's own watcher of files (1.51) would hand out a broken file as
// well, and look once a second at best.
//
// Thread safety: pure functions; gRPC calls `files` from its threads.
// Ownership: `files` must outlive the server.
#pragma once

#include <grpcpp/security/server_credentials.h>

#include <memory>

#include "server/rpc/tls_files.h"

namespace sidelb::rpc {

std::shared_ptr<grpc::ServerCredentials> MakeTlsCredentials(TlsFiles* files);

}  // namespace sidelb::rpc
