// Arguments: a command line of sidelb-cli as plain values, checked as far as that is possible
// without the daemon. parse_arguments.h makes them, the commands read them.
//
// Thread safety: values.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "absl/time/time.h"
#include "client/tls.h"
#include "client/watch_view.h"
#include "sidelb/v1/control.pb.h"

namespace sidelb::client {

namespace pb = sidelb::v1;

enum class Output { kTable, kWide, kJson, kJsonLines, kCsv };

struct GlobalOptions {
  std::string endpoint;  // empty = search
  absl::Duration timeout = absl::Seconds(5);
  Output output = Output::kTable;
  std::optional<std::string> owner;  // api:cli
  TlsFiles tls;
};

inline constexpr char kDefaultOwner[] = "api:cli";

// Of every command that changes something.
struct WriteOptions {
  bool is_dry_run = false;
  bool is_unchanged_an_error = false;
  std::optional<std::string> comment;
  std::optional<uint64_t> expected_revision;
  std::optional<pb::WaitFor> wait;  // APPLIED
  std::optional<absl::Duration> wait_timeout;
  bool allows_mass_removal = false;
  std::optional<std::string> holder;      // of the owner's lease
  std::optional<std::string> request_id;  // absent = one made up
};

// What further options do to an object, in their order.
template <typename Message>
using Edits = std::vector<std::function<void(Message*)>>;

// What is said of a backend, a pool, a listener. `add` takes absent for the daemon's default, `set`
// for "leave it".
struct BackendAttributes {
  // nullopt inside = back to the default.
  std::optional<std::optional<uint32_t>> weight;
  std::optional<uint32_t> max_connections;
  std::optional<std::string> zone;
  std::optional<std::string> group;
  std::vector<std::pair<std::string, std::string>> tags;
  std::vector<std::string> removed_tags;  // `set --tag key-`
  Edits<pb::BackendSpec> edits;

  bool HasOnlyWeight() const {
    return weight && !max_connections && !zone && !group && tags.empty() && removed_tags.empty() &&
           edits.empty();
  }
};

struct PoolAttributes {
  std::optional<pb::Mode> mode;
  std::optional<absl::Duration> drain_timeout;
  std::optional<pb::DrainAction> on_timeout;
  Edits<pb::Pool> edits;
};

struct ListenerAttributes {
  std::optional<std::string> pool;
  std::optional<std::string> address;
  std::optional<pb::Protocol> protocol;
  std::optional<bool> is_disabled;
  std::optional<uint32_t> max_connections;
  std::optional<absl::Duration> idle_timeout;
  std::optional<absl::Duration> connect_timeout;
  std::optional<uint32_t> connect_attempts;
  std::optional<absl::Duration> half_close_timeout;
  std::optional<absl::Duration> keepalive_idle;
  std::optional<absl::Duration> keepalive_interval;
  std::optional<uint32_t> keepalive_count;
  Edits<pb::Listener> edits;
};

// Which backends of a pool.
struct SelectorArguments {
  std::vector<std::string> addresses;
  std::string zone;
  std::string group;
  std::vector<std::pair<std::string, std::string>> tags;
  bool is_all = false;
};

struct GetCommand {
  enum class Noun { kListeners, kPools, kBackends };
  Noun noun = Noun::kBackends;
  std::vector<std::string> names;  // of pools when the noun is backends; empty = all
  SelectorArguments selector;
  std::vector<pb::BackendState> states;
  bool is_watching = false;  // goes on with rows that change
};

struct DescribeCommand {
  enum class Noun { kPool, kBackend, kListener };
  Noun noun = Noun::kPool;
  std::string name;  // of the pool when the noun is backend
  std::string address;
};

struct AddBackendsCommand {
  std::string pool;
  std::vector<std::string> addresses;
  BackendAttributes attributes;
  bool may_create_pool = false;
};

struct AddPoolCommand {
  std::string name;
  PoolAttributes attributes;
};

struct AddListenerCommand {
  std::string name;
  ListenerAttributes attributes;
};

struct SetBackendsCommand {
  std::string pool;
  std::vector<std::string> addresses;
  BackendAttributes attributes;
  std::optional<absl::Duration> ttl;  // of a weight, which then is an override
  std::string reason;
};

struct SetPoolCommand {
  std::string name;
  PoolAttributes attributes;
};

struct SetListenerCommand {
  std::string name;
  ListenerAttributes attributes;
};

struct RemoveBackendsCommand {
  std::string pool;
  std::vector<std::string> addresses;
  std::optional<absl::Duration> drain_timeout;
  std::optional<pb::DrainAction> on_timeout;
  bool is_any_owner = false;
};

struct RemovePoolsCommand {
  std::vector<std::string> names;
  bool is_forced = false;
};

struct RemoveListenersCommand {
  std::vector<std::string> names;
};

struct ReplaceCommand {
  std::string pool;
  std::string file;  // "-" = standard input
  bool may_be_empty = false;
};

struct ApplyFileCommand {
  std::string file;  // "-" = standard input
  bool prunes = false;
  bool adopts = false;  // the claims of all owners become the caller's
};

struct ExportCommand {};

struct SetModeCommand {
  std::string pool;
  pb::Mode mode = pb::MODE_UNSPECIFIED;
  std::optional<pb::HashKey> hash_key;      // absent = as it is
  std::optional<uint32_t> hash_table_size;  // absent = as it is
};

struct OverrideCommand {
  enum class Verb { kDrain, kEnable, kDisable, kHealth };
  Verb verb = Verb::kDrain;
  std::string pool;
  SelectorArguments selector;
  std::optional<absl::Duration> drain_timeout;
  std::optional<pb::DrainAction> on_timeout;
  std::string reason;
  std::optional<absl::Duration> ttl;
  bool is_forced = false;  // enable: also against what the owner says
  pb::HealthOverride health = pb::HEALTH_OVERRIDE_UNSPECIFIED;  // health: unspecified = as probed
};

struct ShowHealthCommand {
  std::string pool;  // empty = all
  SelectorArguments selector;
};

struct WaitCommand {
  enum class Target { kHealthy, kDrained, kApplied };
  Target target = Target::kHealthy;
  std::string pool;
  std::vector<std::string> addresses;  // empty = all of the pool
  std::optional<uint64_t> revision;    // applied: absent = what the daemon has now
  absl::Duration timeout = absl::Seconds(30);
};

struct WatchCommand {
  std::vector<std::string> pools;
  std::vector<pb::ObjectKind> kinds;
  pb::View view = pb::VIEW_FULL;
  std::optional<ResumeToken> resume;
  bool has_heartbeats = false;
  std::string hook;  // runs for each event; empty = events are printed
};

struct StatsCommand {
  std::vector<std::string> names;  // of pools and listeners; empty = all
  bool is_exact = false;
};

struct TopCommand {
  std::string pool;  // empty = all
  std::optional<uint64_t> frames;
  bool is_batch = false;
  absl::Duration interval = absl::Seconds(1);
};

struct LeaseCommand {
  enum class Verb { kList, kRenew, kHold, kRelease };
  Verb verb = Verb::kList;
  std::string owner;
  std::string holder;  // empty: hold makes one up; release acts as an operator
  std::optional<absl::Duration> ttl;
  std::optional<absl::Duration> grace;
  pb::ExpiryAction on_expiry = pb::EXPIRY_ACTION_UNSPECIFIED;  // unspecified = as it was, or drain
  bool takes_over = false;
  bool is_kept = false;            // hold: not released at the end
  std::vector<std::string> words;  // hold: what runs meanwhile
};

struct AuditCommand {
  std::string owner;  // empty = all
  uint64_t since_revision = 0;
  uint32_t count = 20;
};

struct GetOwnersCommand {};

// What `apply` with the same file would change.
struct DiffCommand {
  ApplyFileCommand apply;
};

struct RawCommand {
  std::string method;   // of the service
  std::string request;  // JSON, "-" for standard input, "@FILE"
};

struct CompletionCommand {
  std::string shell;
};

// What may come next in a line that is not finished.
struct Completion {
  // What the daemon is asked for, of `pool` if that is given.
  enum class Names {
    kNone,
    kPools,
    kListeners,
    kPoolsAndListeners,
    kOwners,
    kAddresses,
    kZones,
    kGroups,
    kTags
  };

  std::string prefix;              // what candidates begin with
  std::string lead;                // of the same word, before them: "--mode="
  std::vector<std::string> words;  // candidates that need no daemon
  Names names = Names::kNone;
  std::string pool;
  std::vector<std::string> given;         // which are no candidates any more
  bool takes_files = false;               // the shell knows the names of files
  std::vector<std::string> global_words;  // options of the line that say where the daemon is
};

struct CompleteCommand {
  Completion completion;
};

struct InfoCommand {};

struct ShutdownCommand {
  std::optional<absl::Duration> drain_timeout;  // absent = the daemon's
};

struct VersionCommand {};

using Command =
    std::variant<GetCommand, DescribeCommand, AddBackendsCommand, AddPoolCommand,
                 AddListenerCommand, SetBackendsCommand, SetPoolCommand, SetListenerCommand,
                 RemoveBackendsCommand, RemovePoolsCommand, RemoveListenersCommand, ReplaceCommand,
                 ApplyFileCommand, ExportCommand, SetModeCommand, OverrideCommand,
                 ShowHealthCommand, WaitCommand, WatchCommand, StatsCommand, TopCommand,
                 LeaseCommand, AuditCommand, InfoCommand, ShutdownCommand, VersionCommand,
                 CompletionCommand, CompleteCommand, RawCommand, GetOwnersCommand, DiffCommand>;

struct Arguments {
  GlobalOptions global;
  WriteOptions write;
  Command command;
};

}  // namespace sidelb::client
