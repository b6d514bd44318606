// Options of `add` and `set` on how a pool picks, health, priorities and UDP.
#include "client/cli/verbs.h"

namespace sidelb::client {
namespace {

// An option that changes one field.
template <typename Message, typename Parse, typename Change>
void AddEdit(CLI::App* app, Edits<Message>* edits, const std::string& name, const std::string& type,
             const std::string& description, Parse parse, Change change) {
  AddParsed(app, name, type, description, parse, [edits, change](auto value) {
    edits->push_back([change, value](Message* message) { change(message, value); });
  });
}

absl::StatusOr<std::string> ParseProbeAddress(const std::string& text) {
  if (text == "default") return std::string();
  return ParseAddress(text, PortZero::kRefused);
}

}  // namespace

void AddPickOptions(CLI::App* app, PoolAttributes* attributes) {
  Edits<pb::Pool>* const edits = &attributes->edits;
  AddEdit(app, edits, "--hash-key", "KEY",
          "What source-hash and maglev look at: source-ip (the default) or source-ip-port",
          ParseHashKey, [](pb::Pool* pool, pb::HashKey key) { pool->set_hash_key(key); });
  AddEdit(app, edits, "--hash-table-size", "N",
          "Slots of source-hash and maglev, a prime from 251 to 655373; 65537",
          NumberParser(1, UINT32_MAX),
          [](pb::Pool* pool, uint32_t size) { pool->set_hash_table_size(size); });
  app->add_flag_function(
      "--group-by-ip,!--no-group-by-ip",
      [edits](int64_t count) {
        edits->push_back(
            [is_grouped = count > 0](pb::Pool* pool) { pool->set_group_by_ip(is_grouped); });
      },
      "All ports of one IP share one probe, one fate and one count of sessions, or not");
}

void AddHealthOptions(CLI::App* app, PoolAttributes* attributes) {
  Edits<pb::Pool>* const edits = &attributes->edits;
  const auto number = [](uint32_t low, uint32_t high) { return NumberParser(low, high); };
  AddEdit(app, edits, "--probe", "PROBE",
          "none, tcp-connect (where a TCP listener leads to the pool), send-expect or udp",
          ParseProbeKind, [](pb::Pool* pool, pb::ProbeKind kind) {
            pb::HealthCheck* const check = pool->mutable_health_check();
            check->set_kind(kind);
            if (kind == pb::PROBE_KIND_SEND_EXPECT || kind == pb::PROBE_KIND_UDP) return;
            // They belong to the kind that was there before.
            check->clear_send();
            check->clear_expect();
          });
  AddEdit(app, edits, "--probe-interval", "DURATION", "2s", ParseDuration,
          [](pb::Pool* pool, absl::Duration interval) {
            *pool->mutable_health_check()->mutable_interval() = ToProto(interval);
          });
  AddEdit(app, edits, "--probe-timeout", "DURATION", "1s", ParseDuration,
          [](pb::Pool* pool, absl::Duration timeout) {
            *pool->mutable_health_check()->mutable_timeout() = ToProto(timeout);
          });
  AddEdit(app, edits, "--rise", "N", "Good probes in a row that make it healthy, 2",
          number(1, UINT32_MAX),
          [](pb::Pool* pool, uint32_t rise) { pool->mutable_health_check()->set_rise(rise); });
  AddEdit(app, edits, "--fall", "N", "Bad probes in a row that make it unhealthy, 3",
          number(1, UINT32_MAX),
          [](pb::Pool* pool, uint32_t fall) { pool->mutable_health_check()->set_fall(fall); });
  AddEdit(app, edits, "--probe-send", "TEXT", "What a probe sends; \\r, \\n, \\xHH are bytes",
          ParseBytes, [](pb::Pool* pool, const std::string& bytes) {
            pool->mutable_health_check()->set_send(bytes);
          });
  AddEdit(app, edits, "--probe-expect", "TEXT", "What the answer must begin with", ParseBytes,
          [](pb::Pool* pool, const std::string& bytes) {
            pool->mutable_health_check()->set_expect(bytes);
          });
  AddEdit(app, edits, "--probe-port", "N", "Another port to probe, 0 = the backend's",
          number(0, 65'535),
          [](pb::Pool* pool, uint32_t port) { pool->mutable_health_check()->set_port(port); });
  AddEdit(app, edits, "--passive-failures", "N",
          "Failed connects in a row that eject a backend, 5; 0 = never", number(0, UINT32_MAX),
          [](pb::Pool* pool, uint32_t failures) {
            pool->mutable_health_check()->set_passive_failures(failures);
          });
  AddEdit(
      app, edits, "--ejection-time", "DURATION", "10s, times the ejections in a row", ParseDuration,
      [](pb::Pool* pool, absl::Duration time) { *pool->mutable_ejection_time() = ToProto(time); });
  AddEdit(app, edits, "--max-ejection-time", "DURATION", "300s", ParseDuration,
          [](pb::Pool* pool, absl::Duration time) {
            *pool->mutable_max_ejection_time() = ToProto(time);
          });
  AddEdit(app, edits, "--max-ejection-percent", "N", "Of the enabled backends, 50", number(0, 100),
          [](pb::Pool* pool, uint32_t percent) { pool->set_max_ejection_percent(percent); });
  AddEdit(app, edits, "--panic-percent", "N",
          "With fewer good backends than this, bad ones serve too, 0 = never", number(0, 100),
          [](pb::Pool* pool, uint32_t percent) { pool->set_panic_percent(percent); });
  AddEdit(app, edits, "--on-unhealthy", "ACTION",
          "What becomes of sessions: keep (the default) or reset", ParseOnUnhealthy,
          [](pb::Pool* pool, pb::OnUnhealthy action) { pool->set_on_unhealthy(action); });
  AddEdit(app, edits, "--slow-start", "DURATION",
          "How long a backend that begins to serve takes to its whole share, 0 = off",
          ParseDuration,
          [](pb::Pool* pool, absl::Duration time) { *pool->mutable_slow_start() = ToProto(time); });
}

void AddUdpOptions(CLI::App* app, ListenerAttributes* attributes) {
  Edits<pb::Listener>* const edits = &attributes->edits;
  AddEdit(app, edits, "--udp-policy", "POLICY",
          "session (the default), request-response, one-way or per-packet", ParseUdpPolicy,
          [](pb::Listener* listener, pb::UdpPolicy policy) { listener->set_udp_policy(policy); });
  AddEdit(app, edits, "--udp-session-timeout", "DURATION", "60s, 0 = off", ParseDuration,
          [](pb::Listener* listener, absl::Duration timeout) {
            *listener->mutable_udp_session_timeout() = ToProto(timeout);
          });
  AddEdit(app, edits, "--udp-unanswered-timeout", "DURATION", "15s, while nothing was answered",
          ParseDuration, [](pb::Listener* listener, absl::Duration timeout) {
            *listener->mutable_udp_unanswered_timeout() = ToProto(timeout);
          });
  AddEdit(app, edits, "--max-sessions-per-client", "N", "UDP, 0 = unlimited",
          NumberParser(0, UINT32_MAX), [](pb::Listener* listener, uint32_t most) {
            listener->set_max_sessions_per_client(most);
          });
}

void AddPriorityOptions(CLI::App* app, BackendAttributes* attributes) {
  AddEdit(app, &attributes->edits, "--priority", "N",
          "0 first (the default); 1 serves when nobody of 0 can, and so on to 7",
          NumberParser(0, 7),
          [](pb::BackendSpec* spec, uint32_t priority) { spec->set_priority(priority); });
  AddEdit(
      app, &attributes->edits, "--probe-address", "ADDR",
      "What is probed instead of it, or default", ParseProbeAddress,
      [](pb::BackendSpec* spec, const std::string& address) { spec->set_probe_address(address); });
}

}  // namespace sidelb::client
