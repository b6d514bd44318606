#include "server/control/request_log.h"

#include <algorithm>
#include <utility>

#include "fmt/format.h"
#include "server/control/errors.h"

namespace sidelb::control {
namespace {

constexpr size_t kMaxIdBytes = 64;

}  // namespace

void RequestLog::Expire(absl::Time now) {
  while (!entries_.empty() &&
         (entries_.size() > kMaxKept || entries_.front().request.time + kKept <= now)) {
    const auto found = by_id_.find(entries_.front().request.id);
    if (found != by_id_.end() && found->second == &entries_.front()) by_id_.erase(found);
    entries_.pop_front();
  }
}

const RequestLog::Entry* RequestLog::Find(const std::string& id, absl::Time now) {
  Expire(now);
  const auto found = by_id_.find(id);
  return found == by_id_.end() ? nullptr : found->second;
}

void RequestLog::Add(Entry entry, absl::Time now) {
  next_number_ = std::max(next_number_, entry.request.number + 1);
  entries_.push_back(std::move(entry));
  by_id_[entries_.back().request.id] = &entries_.back();
  Expire(now);
}

absl::Status ValidateRequestId(std::string_view id) {
  if (id.size() > kMaxIdBytes) {
    return BadField("request_id",
                    fmt::format("{} characters; allowed: at most {}", id.size(), kMaxIdBytes));
  }
  const auto bad = std::find_if(id.begin(), id.end(), [](char c) { return c < 0x20 || c > 0x7e; });
  if (bad == id.end()) return absl::OkStatus();
  return BadField("request_id", fmt::format("has the byte {:#04x}; allowed: printable ASCII "
                                            "characters",
                                            static_cast<unsigned char>(*bad)));
}

absl::Status RequestIdReused(std::string_view id) {
  return MakeError(
      absl::StatusCode::kInvalidArgument,
      fmt::format("request_id: '{}' was sent with another request before; allowed: the same "
                  "request again, or an id of its own",
                  id),
      {.reason = "REQUEST_ID_REUSED",
       .metadata = {{"request_id", std::string(id)}},
       .violations = {{"request_id", "stood for another request"}}});
}

}  // namespace sidelb::control
