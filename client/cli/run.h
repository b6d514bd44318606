// The whole of sidelb-cli behind main(): parse, connect, run, report.
//
// Thread safety: one call at a time.
#pragma once

#include <string>
#include <vector>

#include "client/cli/exit_code.h"
#include "client/cli/invocation.h"
#include "client/endpoint.h"

namespace sidelb::client {

// Between the sending of a write and its answer *is_writing is true, for main()'s signal handler.
struct WriteMark {
  volatile bool is_writing = false;
};

// `words` are the arguments without the program's name.
ExitCode Run(const std::vector<std::string>& words, const EndpointSources& sources,
             const Streams& streams, WriteMark* mark);

}  // namespace sidelb::client
