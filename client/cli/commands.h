// Runs one command: asks the daemon, prints, and returns the exit code. Errors are printed here.
//
// Thread safety: one thread at a time.
#pragma once

#include "client/cli/exit_code.h"
#include "client/cli/invocation.h"

namespace sidelb::client {

ExitCode RunCommand(const Invocation& invocation, const GetCommand& command);
ExitCode RunCommand(const Invocation& invocation, const DescribeCommand& command);
ExitCode RunCommand(const Invocation& invocation, const ExportCommand& command);
ExitCode RunCommand(const Invocation& invocation, const InfoCommand& command);
ExitCode RunCommand(const Invocation& invocation, const ShowHealthCommand& command);
ExitCode RunCommand(const Invocation& invocation, const WaitCommand& command);
ExitCode RunCommand(const Invocation& invocation, const WatchCommand& command);
ExitCode RunCommand(const Invocation& invocation, const StatsCommand& command);
ExitCode RunCommand(const Invocation& invocation, const TopCommand& command);
ExitCode RunCommand(const Invocation& invocation, const LeaseCommand& command);
ExitCode RunCommand(const Invocation& invocation, const AuditCommand& command);
ExitCode RunCommand(const Invocation& invocation, const VersionCommand& command);
ExitCode RunCommand(const Invocation& invocation, const CompletionCommand& command);
ExitCode RunCommand(const Invocation& invocation, const RawCommand& command);
ExitCode RunCommand(const Invocation& invocation, const GetOwnersCommand& command);
ExitCode RunCommand(const Invocation& invocation, const DiffCommand& command);
ExitCode RunCommand(const Invocation& invocation, const CompleteCommand& command);

ExitCode RunCommand(const Invocation& invocation, const AddBackendsCommand& command);
ExitCode RunCommand(const Invocation& invocation, const AddPoolCommand& command);
ExitCode RunCommand(const Invocation& invocation, const AddListenerCommand& command);
ExitCode RunCommand(const Invocation& invocation, const SetBackendsCommand& command);
ExitCode RunCommand(const Invocation& invocation, const SetPoolCommand& command);
ExitCode RunCommand(const Invocation& invocation, const SetListenerCommand& command);
ExitCode RunCommand(const Invocation& invocation, const RemoveBackendsCommand& command);
ExitCode RunCommand(const Invocation& invocation, const RemovePoolsCommand& command);
ExitCode RunCommand(const Invocation& invocation, const RemoveListenersCommand& command);
ExitCode RunCommand(const Invocation& invocation, const ReplaceCommand& command);
ExitCode RunCommand(const Invocation& invocation, const ApplyFileCommand& command);
ExitCode RunCommand(const Invocation& invocation, const SetModeCommand& command);
ExitCode RunCommand(const Invocation& invocation, const OverrideCommand& command);
ExitCode RunCommand(const Invocation& invocation, const ShutdownCommand& command);

// get with -w.
ExitCode WatchRows(const Invocation& invocation, const GetCommand& command);

}  // namespace sidelb::client
