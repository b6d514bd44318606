#include "server/rpc/state_pages.h"

#include <algorithm>
#include <charconv>
#include <optional>
#include <string_view>
#include <utility>

#include "fmt/format.h"
#include "server/control/errors.h"

namespace sidelb::rpc {
namespace {

// "PIN-OFFSET", both hexadecimal.
struct Token {
  uint64_t pin = 0;
  uint64_t offset = 0;
};

std::string TokenText(const Token& token) {
  return fmt::format("{:x}-{:x}", token.pin, token.offset);
}

bool ParseHex(std::string_view text, uint64_t* value) {
  const char* const end = text.data() + text.size();
  const auto [parsed, error] = std::from_chars(text.data(), end, *value, 16);
  return error == std::errc() && parsed == end;
}

std::optional<Token> ParseToken(std::string_view text) {
  const size_t dash = text.find('-');
  Token token;
  if (dash == std::string_view::npos || !ParseHex(text.substr(0, dash), &token.pin) ||
      !ParseHex(text.substr(dash + 1), &token.offset)) {
    return std::nullopt;
  }
  return token;
}

absl::Status BadToken(std::string_view why) {
  const std::string text = fmt::format(
      "the token {}; pass next_page_token of the page before, with the same filter and view, or "
      "leave it out to begin anew",
      why);
  return control::MakeError(absl::StatusCode::kInvalidArgument, fmt::format("page_token: {}", text),
                            {.reason = "BAD_TOKEN", .violations = {{"page_token", text}}});
}

size_t TotalSize(const control::StateView& view) {
  return view.listeners.size() + view.pools.size() + view.backends.size();
}

// What has no claim any more is not configuration: its last sessions only drain.
std::shared_ptr<const control::StateView> WithoutRemoved(
    std::shared_ptr<const control::StateView> view) {
  const auto is_removed = [](const control::StateView::BackendEntry& entry) {
    return entry.object->claims.empty();
  };
  if (std::none_of(view->backends.begin(), view->backends.end(), is_removed)) return view;
  auto config = std::make_shared<control::StateView>(*view);
  std::erase_if(config->backends, is_removed);
  return config;
}

}  // namespace

size_t StatePages::Fill(const Read& read, size_t offset, size_t page_size,
                        pb::GetStateResponse* response) {
  const control::StateView& view = *read.view;
  const size_t total = TotalSize(view);
  response->set_revision(view.revision);
  response->set_position(view.position);
  response->set_total_size(static_cast<uint32_t>(total));
  pb::State* state = response->mutable_state();
  size_t at = offset;
  size_t bytes = 0;
  // Adds the object unless the page is full.
  const auto add = [&](auto&& object, auto* list) {
    const size_t size = object.ByteSizeLong() + 8;
    if (at > offset && bytes + size > kMaxPageBytes) return false;
    bytes += size;
    *list->Add() = std::move(object);
    return true;
  };
  for (; at < total && at - offset < page_size; ++at) {
    size_t index = at;
    if (index < view.listeners.size()) {
      if (!add(ToProto(view.listeners[index], read.detail), state->mutable_listeners())) break;
      continue;
    }
    index -= view.listeners.size();
    if (index < view.pools.size()) {
      if (!add(ToProto(view.pools[index], read.detail), state->mutable_pools())) break;
      continue;
    }
    index -= view.pools.size();
    if (!add(ToProto(view.backends[index], read.detail), state->mutable_backends())) break;
  }
  return at < total ? at : 0;
}

pb::GetStateResponse StatePages::First(std::shared_ptr<const control::StateView> view,
                                       StateDetail detail, std::string selection, size_t page_size,
                                       Time now) {
  if (detail == StateDetail::kConfig) view = WithoutRemoved(std::move(view));
  auto read = std::make_shared<const Read>(Read{std::move(view), detail, std::move(selection)});
  pb::GetStateResponse response;
  const size_t next = Fill(*read, 0, page_size, &response);
  const std::lock_guard lock(mutex_);
  ExpireLocked(now);
  if (next != 0) {
    response.set_next_page_token(TokenText({PinLocked(std::move(read), now), next}));
  }
  return response;
}

absl::StatusOr<pb::GetStateResponse> StatePages::Next(const std::string& text,
                                                      const std::string& selection,
                                                      size_t page_size, Time now) {
  const std::optional<Token> token = ParseToken(text);
  if (!token) return BadToken("is not one of this service");
  std::shared_ptr<const Read> read;
  {
    const std::lock_guard lock(mutex_);
    ExpireLocked(now);
    const auto found = pins_.find(token->pin);
    if (found == pins_.end()) {
      return control::MakeError(absl::StatusCode::kOutOfRange,
                                fmt::format("page_token: the read has expired ({} s after its last "
                                            "page); begin anew without a token",
                                            kPinTime.count()),
                                {.reason = "PAGE_EXPIRED"});
    }
    found->second.last_use = now;
    read = found->second.read;
  }
  if (read->selection != selection) return BadToken("belongs to another filter or view");
  if (token->offset == 0 || token->offset >= TotalSize(*read->view)) {
    return BadToken("is not one of this service");
  }
  pb::GetStateResponse response;
  const size_t next = Fill(*read, token->offset, page_size, &response);
  // The pin stays at the end too: a client that lost the last page may ask for it again.
  if (next != 0) response.set_next_page_token(TokenText({token->pin, next}));
  return response;
}

void StatePages::Expire(Time now) {
  const std::lock_guard lock(mutex_);
  ExpireLocked(now);
}

size_t StatePages::pins() const {
  const std::lock_guard lock(mutex_);
  return pins_.size();
}

void StatePages::ExpireLocked(Time now) {
  std::erase_if(pins_, [now](const auto& pin) { return now - pin.second.last_use >= kPinTime; });
}

uint64_t StatePages::PinLocked(std::shared_ptr<const Read> read, Time now) {
  if (pins_.size() >= kMaxPins) {
    pins_.erase(std::min_element(pins_.begin(), pins_.end(), [](const auto& a, const auto& b) {
      return a.second.last_use < b.second.last_use;
    }));
  }
  uint64_t number = random_();
  while (pins_.contains(number)) number = random_();
  pins_.emplace(number, Pin{std::move(read), now});
  return number;
}

}  // namespace sidelb::rpc
