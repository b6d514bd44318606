// Options of `add pool` and `set pool` on ring domains.
#include <algorithm>
#include <iterator>

#include "absl/strings/str_split.h"
#include "client/cli/verbs.h"
#include "fmt/format.h"

namespace sidelb::client {
namespace {

constexpr std::string_view kParts[] = {"record",   "min-ttl",         "max-ttl", "weight",
                                       "priority", "max-connections", "zone",    "group"};

absl::Status SetDuration(const std::string& text, google::protobuf::Duration* target) {
  const auto duration = ParseDuration(text);
  if (duration.ok()) *target = ToProto(*duration);
  return duration.status();
}

absl::Status ApplyPart(const std::string& key, const std::string& value, pb::RingDomain* domain) {
  if (key == "record") {
    const auto record = ParseRecordType(value);
    if (record.ok()) domain->set_record(*record);
    return record.status();
  }
  if (key == "min-ttl") return SetDuration(value, domain->mutable_min_ttl());
  if (key == "max-ttl") return SetDuration(value, domain->mutable_max_ttl());
  pb::BackendSpec* const defaults = domain->mutable_defaults();
  if (key == "zone") defaults->set_zone(value);
  if (key == "group") defaults->set_group(value);
  if (key == "zone" || key == "group") return absl::OkStatus();
  const uint32_t most = key == "weight" ? 65'535 : key == "priority" ? 7 : UINT32_MAX;
  const auto number = ParseNumber(value, 0, most);
  if (!number.ok()) return number.status();
  if (key == "weight") defaults->set_weight(static_cast<uint32_t>(*number));
  if (key == "priority") defaults->set_priority(static_cast<uint32_t>(*number));
  if (key == "max-connections") defaults->set_max_connections(static_cast<uint32_t>(*number));
  return absl::OkStatus();
}

bool IsPart(const std::string& key) {
  return std::find(std::begin(kParts), std::end(kParts), key) != std::end(kParts);
}

std::string PartsText() { return fmt::format("{}=", fmt::join(kParts, "=, ")); }

// NAME[:PORT][,KEY=VALUE...]
absl::StatusOr<pb::RingDomain> ParseRingDomain(const std::string& text) {
  const std::vector<std::string> parts = absl::StrSplit(text, ',');
  pb::RingDomain domain;
  const size_t colon = parts[0].rfind(':');
  domain.set_domain(parts[0].substr(0, colon));
  if (domain.domain().empty()) {
    return absl::InvalidArgumentError(
        fmt::format("\"{}\" names no domain; allowed: NAME:PORT[,KEY=VALUE...]", text));
  }
  if (colon != std::string::npos) {
    const auto port = ParseNumber(parts[0].substr(colon + 1), 1, 65'535);
    if (!port.ok()) return port.status();
    domain.set_port(static_cast<uint32_t>(*port));
  }
  for (size_t i = 1; i < parts.size(); ++i) {
    const auto part = ParseTag(parts[i]);
    if (!part.ok() || !IsPart(part->first)) {
      return absl::InvalidArgumentError(
          fmt::format("\"{}\" is not allowed; allowed: {}", parts[i], PartsText()));
    }
    if (auto status = ApplyPart(part->first, part->second, &domain); !status.ok()) {
      return absl::InvalidArgumentError(
          fmt::format("{}: {}", part->first, std::string(status.message())));
    }
  }
  if (domain.port() == 0 && domain.record() != pb::RECORD_TYPE_SRV) {
    return absl::InvalidArgumentError(
        fmt::format("\"{}\" has no port; only those of record=srv bring their own", text));
  }
  return domain;
}

void RemoveDomain(pb::Pool* pool, const std::string& name) {
  auto* const domains = pool->mutable_ring_domains();
  for (int i = domains->size() - 1; i >= 0; --i) {
    if (domains->Get(i).domain() == name) domains->DeleteSubrange(i, 1);
  }
}

void PutDomain(pb::Pool* pool, const pb::RingDomain& domain) {
  for (pb::RingDomain& known : *pool->mutable_ring_domains()) {
    if (known.domain() != domain.domain()) continue;
    known = domain;
    return;
  }
  *pool->add_ring_domains() = domain;
}

}  // namespace

void AddRingOptions(CLI::App* app, PoolAttributes* attributes) {
  Edits<pb::Pool>* const edits = &attributes->edits;
  // First, so that `set pool --no-ring-domains --ring-domain ...` leaves those that are named.
  app->add_flag_function(
      "--no-ring-domains",
      [edits](int64_t) { edits->push_back([](pb::Pool* pool) { pool->clear_ring_domains(); }); },
      "Remove all ring domains, with the backends that they brought");
  AddParsedList(
      app, "--ring-domain", "NAME:PORT|NAME-",
      fmt::format(
          "Backends out of DNS; may be given several times. NAME:PORT adds a domain or "
          "replaces it, with more after commas: {}; record=srv needs no port. NAME- removes "
          "it",
          PartsText()),
      [](const std::string& text) -> absl::StatusOr<std::function<void(pb::Pool*)>> {
        if (text.size() > 1 && text.ends_with('-') && text.find(':') == std::string::npos) {
          return [name = text.substr(0, text.size() - 1)](pb::Pool* pool) {
            RemoveDomain(pool, name);
          };
        }
        auto domain = ParseRingDomain(text);
        if (!domain.ok()) return domain.status();
        return [domain = *std::move(domain)](pb::Pool* pool) { PutDomain(pool, domain); };
      },
      [edits](std::function<void(pb::Pool*)> edit) { edits->push_back(std::move(edit)); });
}

}  // namespace sidelb::client
