// The nouns of the control plane as plain values: what the API, the CLI and the providers ask for,
// and what the control thread answers. Free of gRPC and protobuf; rpc/convert translates.
//
// A field holds what was written: an absent optional means the default that its comment names, so
// that an export gives back exactly what was put in. The Effective*() functions fill defaults in.
//
// Thread safety: values. Objects (ListenerObject ...) are immutable once shared.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "absl/time/time.h"
#include "dataplane/base/address.h"
#include "dataplane/base/transport.h"
#include "dataplane/pool/eligibility.h"
#include "dataplane/pool/picker.h"

namespace sidelb::control {

// ---- What is written ----

enum class Protocol : uint8_t { kTcp, kUdp };
enum class DrainAction : uint8_t { kReset, kKeep };

struct DrainSpec {
  std::optional<absl::Duration> timeout;  // removals 30 s; overrides none; 0 s = at once
  std::optional<DrainAction> on_timeout;  // kReset
  friend bool operator==(const DrainSpec&, const DrainSpec&) = default;
};

struct KeepaliveSpec {
  std::optional<absl::Duration> idle;      // 60 s; 0 = off
  std::optional<absl::Duration> interval;  // 15 s
  std::optional<uint32_t> count;           // 4
  friend bool operator==(const KeepaliveSpec&, const KeepaliveSpec&) = default;
};

struct ListenerSpec {
  std::string name;
  Address address;                   // port 0 = the kernel chooses
  std::optional<Protocol> protocol;  // kTcp
  std::string pool;
  bool disabled = false;
  uint32_t max_connections = 0;                      // 0 = unlimited
  std::optional<absl::Duration> connect_timeout;     // 3 s
  std::optional<uint32_t> connect_attempts;          // 3
  std::optional<absl::Duration> idle_timeout;        // 1 h; 0 = off
  std::optional<absl::Duration> half_close_timeout;  // 30 s; 0 = off
  std::optional<KeepaliveSpec> keepalive;
  std::optional<UdpPolicy> udp_policy;                   // kSession
  std::optional<absl::Duration> udp_session_timeout;     // 60 s; 0 = off
  std::optional<absl::Duration> udp_unanswered_timeout;  // 15 s; 0 = off
  uint32_t max_sessions_per_client = 0;                  // UDP; 0 = unlimited
  friend bool operator==(const ListenerSpec&, const ListenerSpec&) = default;
};

enum class HealthCheckKind : uint8_t { kNone, kTcpConnect, kSendExpect, kUdp };

struct HealthCheckSpec {
  std::optional<HealthCheckKind> kind;     // kTcpConnect where a TCP listener leads to the pool
  std::optional<absl::Duration> interval;  // 2 s
  std::optional<absl::Duration> timeout;   // 1 s
  std::optional<uint32_t> rise;            // 2
  std::optional<uint32_t> fall;            // 3
  std::string send;
  std::string expect;
  uint32_t port = 0;                         // 0 = the backend's
  std::optional<uint32_t> passive_failures;  // 5; 0 = off
  friend bool operator==(const HealthCheckSpec&, const HealthCheckSpec&) = default;
};

struct BackendSpec {
  Address address;
  std::optional<uint32_t> weight;  // 100; 0 = no new sessions
  uint32_t max_connections = 0;    // 0 = unlimited
  std::string zone;
  std::map<std::string, std::string> tags;
  std::string group;
  std::optional<AdminState> admin_state;  // kEnabled
  uint32_t priority = 0;                  // 0 first; n+1 is the backup of n
  std::optional<Address> probe_address;   // absent = address
  friend bool operator==(const BackendSpec&, const BackendSpec&) = default;
};

enum class RecordType : uint8_t { kA, kAaaa, kAAndAaaa, kSrv };

// A domain whose records are backends of its pool, claimed by the owner `ring:<domain>`.
struct RingDomainSpec {
  std::string domain;
  uint32_t port = 0;                      // 0 with kSrv, whose records bring theirs
  std::optional<absl::Duration> min_ttl;  // 1 s
  std::optional<absl::Duration> max_ttl;  // 60 s
  std::optional<RecordType> record;       // kAAndAaaa
  std::optional<BackendSpec> defaults;    // of the backends found, without an address
  friend bool operator==(const RingDomainSpec&, const RingDomainSpec&) = default;
};

enum class OnUnhealthy : uint8_t { kKeep, kReset };

struct PoolSpec {
  std::string name;
  std::optional<Mode> mode;                 // kRoundRobin
  std::optional<HashKey> hash_key;          // kSourceIp
  std::optional<uint32_t> hash_table_size;  // a prime, 65537
  bool group_by_ip = false;                 // all ports of one IP share probe, fate and count
  std::optional<DrainSpec> drain;
  std::optional<HealthCheckSpec> health_check;
  uint32_t panic_percent = 0;                       // 0 = never
  std::optional<absl::Duration> slow_start;         // off; also 0 s
  std::optional<absl::Duration> ejection_time;      // 10 s, times the ejections in a row
  std::optional<absl::Duration> max_ejection_time;  // 300 s
  std::optional<uint32_t> max_ejection_percent;     // 50
  std::optional<OnUnhealthy> on_unhealthy;          // kKeep
  std::vector<RingDomainSpec> ring_domains;
  friend bool operator==(const PoolSpec&, const PoolSpec&) = default;
};

enum class HealthOverride : uint8_t { kForceHealthy, kForceUnhealthy };

struct Override {
  std::optional<AdminState> admin_state;
  std::optional<HealthOverride> health;
  std::optional<uint32_t> weight;
  std::optional<DrainSpec> drain;
  std::optional<absl::Duration> ttl;  // until cleared; also 0 s
  std::string reason;
  std::string set_by;                     // owner of the Apply
  std::optional<absl::Time> expire_time;  // from ttl
  friend bool operator==(const Override&, const Override&) = default;
};

struct Selector {
  std::vector<Address> addresses;
  std::string group;
  std::string zone;
  std::map<std::string, std::string> tags;
  std::string owner;
  bool all = false;
};

// ---- Ops ----

struct PutListener {
  ListenerSpec spec;
};
struct RemoveListener {
  std::string name;
};
struct PutPool {
  PoolSpec spec;
};
struct RemovePool {
  std::string pool;
  bool force = false;
};
struct UpsertBackends {
  std::string pool;
  std::vector<BackendSpec> backends;
};
struct RemoveBackends {
  std::string pool;
  std::vector<Address> addresses;
  std::optional<DrainSpec> drain;
  bool any_owner = false;
};
struct ReplaceBackends {
  std::string pool;
  std::vector<BackendSpec> backends;
};
struct SetMode {
  std::string pool;
  Mode mode = Mode::kRoundRobin;
  std::optional<HashKey> hash_key;          // absent = as it is
  std::optional<uint32_t> hash_table_size;  // absent = as it is
};
struct SetOverride {
  std::string pool;
  Selector selector;
  Override override;  // set_by is filled in
  bool clear = false;
  bool clear_admin_state = false;  // and its drain
  bool clear_weight = false;
  bool clear_health = false;
};

struct ImportedClaim {
  std::string owner;  // empty = who acts
  BackendSpec spec;
};
struct ImportedBackend {
  std::string pool;
  Address address;
  std::vector<ImportedClaim> claims;  // none = one of who acts, with defaults
  std::optional<Override> override;   // set_by is filled in; expire_time stands over ttl
  size_t place = 0;                   // in the list of the request, for errors
};
// A whole state, as an export holds it: claims of all owners, and overrides.
struct ImportState {
  std::vector<ListenerSpec> listeners;
  std::vector<PoolSpec> pools;
  std::vector<ImportedBackend> backends;
  bool replace_all = false;  // what is not named goes
};

struct Op {
  std::variant<PutListener, RemoveListener, PutPool, RemovePool, UpsertBackends, RemoveBackends,
               ReplaceBackends, SetMode, SetOverride, ImportState>
      op;
  std::optional<uint64_t> expected_revision;
};

enum class WaitFor : uint8_t { kCommitted, kApplied, kDrained };

// What a caller may do; each role may do what those before it may.
enum class Role : uint8_t {
  kViewer,    // reads
  kOwner,     // Apply and RenewLease as one of its own owners
  kOperator,  // and overrides and modes
  kAdmin,     // all
};

// Who calls, as the transport authenticated it.
struct Caller {
  std::string principal;  // "uid:1000", "san:deploy.example", "server"
  std::string peer;       // "unix:/run/sidelb/control.sock", "192.0.2.1:4711"
  Role role = Role::kAdmin;
  std::vector<std::string> owners;  // that kOwner may act as
};

struct ApplyRequest {
  std::string owner;         // "api:default", "api:cli", "static", ...
  bool is_provider = false;  // built in: may act as an owner outside of "api:"
  std::vector<Op> ops;
  std::optional<uint64_t> expected_revision;
  bool validate_only = false;
  WaitFor wait = WaitFor::kApplied;
  // Absent: 5 s; with kDrained the longest drain of the batch and 5 s.
  std::optional<absl::Duration> wait_timeout;
  absl::Time answer_by = absl::InfiniteFuture();  // bounds the wait, whatever wait_timeout says
  std::string comment;
  std::string request_id;  // at most 64 ASCII characters; a repetition gets the same answer
  uint64_t payload = 0;    // a digest of what is asked, by which a repetition is known as such
  bool allow_mass_removal = false;  // consent to what the guard would refuse
  std::string holder;               // of the owner's lease
  Caller caller;
};

struct OpResult {
  uint32_t added = 0;
  uint32_t updated = 0;
  uint32_t removed = 0;
  uint32_t unchanged = 0;
};

// What a batch does to the traffic of one pool.
struct PoolImpact {
  std::string pool;
  uint32_t eligible_before = 0;  // backends that may take new sessions
  uint32_t eligible_after = 0;   // of those that were there before
  uint32_t added = 0;            // enabled ones that come in
  uint64_t connections = 0;      // active ones, on backends that stop being eligible
};

struct ApplyResponse {
  uint64_t revision = 0;
  std::vector<OpResult> results;
  WaitFor reached = WaitFor::kCommitted;
  uint32_t pending = 0;
  std::vector<std::string> warnings;
  bool replayed = false;            // the answer to an earlier request of this request_id
  std::vector<PoolImpact> impacts;  // of pools that lose eligible backends
};

// ---- Leases ----

enum class ExpiryAction : uint8_t { kDrain, kRemove, kKeep };

// An owner's promise to renew.
struct Lease {
  std::string owner;
  std::string holder;
  absl::Duration ttl;
  absl::Duration grace;  // after ttl, before on_expiry
  ExpiryAction on_expiry = ExpiryAction::kDrain;
  absl::Time expire_time;
  bool is_expired = false;
  uint32_t claims = 0;
};

struct RenewLeaseRequest {
  std::string owner;
  std::string holder;
  std::optional<absl::Duration> ttl;    // 5 s .. 24 h; absent: as it was
  std::optional<absl::Duration> grace;  // ttl
  std::optional<ExpiryAction> on_expiry;
  bool take_over = false;
  bool release = false;
  Caller caller;
};

struct RenewLeaseResponse {
  Lease lease;
  absl::Duration renew_after;
  uint64_t revision = 0;
};

// ---- Audit ----

// One write, accepted or rejected.
struct AuditEntry {
  uint64_t number = 0;    // grows by one
  uint64_t revision = 0;  // after it
  absl::Time time;
  std::string principal, peer, owner, request_id, summary, comment;
  int code = 0;  // of the status
  std::string error_reason;
};

// Which entries, the latest first.
struct AuditQuery {
  uint64_t before = UINT64_MAX;  // their numbers are lower
  uint64_t since_revision = 0;   // of this revision and later
  std::string owner;             // empty = all
  size_t limit = 100;
};

struct AuditPage {
  std::vector<AuditEntry> entries;
  uint64_t next_before = 0;  // for the next page; 0 = this is the last one
};

// ---- Objects: immutable, one allocation per change, shared by reads ----

using BackendKey = std::pair<std::string, Address>;  // pool, address

struct ListenerObject {
  ListenerSpec spec;
  uint64_t revision = 0;
};
struct PoolObject {
  PoolSpec spec;
  uint64_t revision = 0;
};
struct Claim {
  std::string owner;
  BackendSpec spec;
  uint64_t revision = 0;
  uint64_t order = 0;  // grows; the oldest claim of a rank wins
  bool lease_expired = false;
  bool lease_drains = false;  // with lease_expired: stands behind all others, and drains
};
struct BackendObject {
  std::string pool;
  Address address;
  std::vector<Claim> claims;  // the one in force first; empty while its last sessions drain
  std::optional<Override> override;
  BackendSpec effective;      // of the claim in force, override applied
  uint64_t oldest_claim = 0;  // its order: the place in its pool
  uint64_t revision = 0;
};

// ---- Status: observed, filled at a read ----

enum class BackendState : uint8_t {
  kWarming,
  kServing,
  kUnhealthy,
  kDraining,
  kDisabled,
  kRemoving
};

struct ListenerStatus {
  bool is_bound = false;
  std::string error;
  uint64_t active_connections = 0;
  Address bound_address;
};
struct PoolStatus {
  uint32_t total = 0, serving = 0, draining = 0, unhealthy = 0, disabled = 0;
  bool is_in_panic = false;
  bool takes_sessions = false;  // one may be picked; the moment's max_connections aside
  uint32_t active_priority = 0;
  uint64_t active_connections = 0;
};
// Why the health is what it is; the words of HealthReason in the proto.
enum class HealthReason : uint8_t {
  kNotChecked,
  kInitial,
  kOk,
  kRefused,
  kTimeout,
  kUnreachable,
  kBadResponse,
  kNoReply,
  kPassive,
  kOverride,
  kGroupDown,
  kOwnerDrain,
  kOwnerExpired,
  kInternal,
};

struct BackendStatus {
  BackendState state = BackendState::kServing;
  Health health = Health::kUnknown;
  uint64_t active_connections = 0;
  std::optional<absl::Time> drain_deadline;
  std::optional<absl::Time> state_change_time;
  uint32_t effective_weight = 0;
  IneligibleReason ineligible_reason = IneligibleReason::kNone;
  HealthReason reason = HealthReason::kNotChecked;
  std::string detail;
  std::optional<absl::Time> last_probe_time;
  absl::Duration last_probe_latency;
  uint32_t consecutive_ok = 0;
  uint32_t consecutive_failed = 0;
  uint64_t transitions = 0;
  std::optional<absl::Time> ejected_until;
};

// One consistent read: everything at one revision, sorted (listeners and pools by name, backends by
// pool and address). Immutable once made; pages of GetState share it.
struct StateView {
  struct ListenerEntry {
    std::shared_ptr<const ListenerObject> object;
    ListenerStatus status;
  };
  struct PoolEntry {
    std::shared_ptr<const PoolObject> object;
    PoolStatus status;
  };
  struct BackendEntry {
    std::shared_ptr<const BackendObject> object;
    BackendStatus status;
  };

  uint64_t revision = 0;
  uint64_t position = 0;  // of the last event that it contains
  std::vector<ListenerEntry> listeners;
  std::vector<PoolEntry> pools;
  std::vector<BackendEntry> backends;
};

struct Filter {
  std::vector<std::string> pools;
  std::vector<std::string> listeners;
  bool with_listeners = true, with_pools = true, with_backends = true, with_leases = true;
  std::optional<Selector> backends;
  std::vector<BackendState> states;
};

enum class ServerState : uint8_t { kStarting, kServing, kDraining };

struct Condition {
  std::string code;
  std::string detail;
  absl::Time since;
};

struct Info {
  std::string epoch;
  uint64_t revision = 0;
  uint64_t applied_revision = 0;
  uint32_t shards = 0;
  absl::Time start_time;
  ServerState state = ServerState::kStarting;
  uint64_t active_connections = 0;
  uint64_t max_connections = 0;
  std::vector<Condition> conditions;
  std::vector<Lease> leases;
  std::vector<std::pair<std::string, uint64_t>>
      faults;  // "EMFILE" -> count, only those that occurred
  bool has_store = false;
  bool is_store_working = true;
  uint64_t stored_revision = 0;  // what is durable, with a store
};

// Limits of one daemon; GetInfo reports them.
inline constexpr uint32_t kMaxBackends = 65'536;
inline constexpr uint32_t kMaxOps = 1'024;
inline constexpr uint32_t kMaxWeight = 65'535;
inline constexpr uint32_t kDefaultWeight = 100;
inline constexpr uint32_t kMaxPriority = 7;
inline constexpr size_t kMaxProbeBytes = 1'024;  // to send, to expect
inline constexpr size_t kMaxTags = 16;
inline constexpr size_t kMaxRingDomains = 64;  // of a pool
inline constexpr size_t kMaxText = 256;        // bytes of a zone, group, tag, reason or comment

}  // namespace sidelb::control
