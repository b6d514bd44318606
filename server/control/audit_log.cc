#include "server/control/audit_log.h"

#include <algorithm>
#include <utility>

#include "absl/status/status.h"
#include "fmt/format.h"
#include "server/control/json.h"

namespace sidelb::control {

void AuditLog::Add(AuditEntry entry) {
  next_number_ = std::max(next_number_, entry.number + 1);
  auto place = entries_.end();
  while (place != entries_.begin() && std::prev(place)->number > entry.number) --place;
  entries_.insert(place, std::move(entry));
  if (entries_.size() > kMaxKept) entries_.pop_front();
}

AuditPage AuditLog::List(const AuditQuery& query) const {
  AuditPage page;
  for (auto it = entries_.rbegin(); it != entries_.rend(); ++it) {
    if (it->number >= query.before || it->revision < query.since_revision) continue;
    if (!query.owner.empty() && it->owner != query.owner) continue;
    if (page.entries.size() == query.limit) {
      page.next_before = page.entries.back().number;
      break;
    }
    page.entries.push_back(*it);
  }
  return page;
}

std::string AuditLine(const AuditEntry& entry) {
  std::string line = fmt::format(
      R"({{"number":{},"revision":{},"time":"{}","code":"{}")", entry.number, entry.revision,
      absl::FormatTime("%Y-%m-%dT%H:%M:%E3SZ", entry.time, absl::UTCTimeZone()),
      absl::StatusCodeToString(static_cast<absl::StatusCode>(entry.code)));
  const std::pair<const char*, const std::string&> texts[] = {
      {"reason", entry.error_reason}, {"principal", entry.principal},   {"peer", entry.peer},
      {"owner", entry.owner},         {"request_id", entry.request_id}, {"summary", entry.summary},
      {"comment", entry.comment}};
  for (const auto& [name, text] : texts) {
    if (!text.empty()) line += fmt::format(R"(,"{}":"{}")", name, JsonEscape(text));
  }
  return line + "}";
}

}  // namespace sidelb::control
