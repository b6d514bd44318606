// Values as a person writes them: durations, addresses, modes, tags. The Parse functions return
// INVALID_ARGUMENT with a message that names the value and what is allowed; the caller adds which
// option or line it came from.
//
// Thread safety: pure functions.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "google/protobuf/duration.pb.h"
#include "google/protobuf/timestamp.pb.h"
#include "sidelb/v1/resources.pb.h"

namespace sidelb::client {

namespace pb = sidelb::v1;

// "250ms", "30s", "5m", "1h30m", "0"; not negative, not infinite, at most 10 000 days.
absl::StatusOr<absl::Duration> ParseDuration(std::string_view text);

// "round-robin", also "round_robin", "RoundRobin", "rr"; all modes that the API knows.
absl::StatusOr<pb::Mode> ParseMode(std::string_view text);

// "source-ip", "source-ip-port"; all hash keys that the API knows.
absl::StatusOr<pb::HashKey> ParseHashKey(std::string_view text);

enum class PortZero { kAllowed, kRefused };
// "192.0.2.1:80" or "[2001:db8::1]:80" in canonical form, as the daemon names it. Host names are
// refused: what they mean would change behind the configuration's back.
absl::StatusOr<std::string> ParseAddress(std::string_view text, PortZero port_zero);
// Whether `text` was meant as an address rather than as a name.
bool LooksLikeAddress(std::string_view text);

// "key=value"; the value may be empty and may hold further '='.
absl::StatusOr<std::pair<std::string, std::string>> ParseTag(std::string_view text);

// Decimal digits from `low` to `high`.
absl::StatusOr<uint64_t> ParseNumber(std::string_view text, uint64_t low, uint64_t high);

absl::StatusOr<pb::DrainAction> ParseDrainAction(std::string_view text);  // reset | keep
absl::StatusOr<pb::ProbeKind> ParseProbeKind(std::string_view text);      // none, tcp-connect, ...
absl::StatusOr<pb::OnUnhealthy> ParseOnUnhealthy(std::string_view text);  // keep | reset
absl::StatusOr<pb::UdpPolicy> ParseUdpPolicy(std::string_view text);      // session, one-way, ...
// Text with the escapes of C: "PING\r\n", "\x00".
absl::StatusOr<std::string> ParseBytes(std::string_view text);
absl::StatusOr<pb::BackendState> ParseBackendState(std::string_view text);
absl::StatusOr<pb::RecordType> ParseRecordType(std::string_view text);  // a, aaaa, ...
absl::StatusOr<pb::Protocol> ParseProtocol(std::string_view text);      // tcp | udp

// The word for an enumerator: Word(pb::Mode_Name(mode), "MODE_") is "least-connections". Empty for
// a number that this build does not know.
std::string Word(std::string_view enumerator, std::string_view prefix);

google::protobuf::Duration ToProto(absl::Duration duration);
absl::Duration FromProto(const google::protobuf::Duration& duration);
absl::Time FromProto(const google::protobuf::Timestamp& time);

}  // namespace sidelb::client
