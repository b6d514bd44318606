#include "client/cli/event_lines.h"

#include <algorithm>

#include "client/cli/numbers.h"
#include "client/cli/object_tables.h"
#include "client/cli/values.h"
#include "fmt/format.h"

namespace sidelb::client {
namespace {

constexpr size_t kMaxSummaryPools = 10;
constexpr size_t kKindWidth = 8;

class Texts {
 public:
  void Add(std::string text) { texts_.push_back(std::move(text)); }
  void AddIfChanged(std::string_view what, const std::string& from, const std::string& to) {
    if (from == to) return;
    Add(fmt::format("{}{}{} -> {}", what, what.empty() ? "" : " ", from.empty() ? "none" : from,
                    to.empty() ? "none" : to));
  }
  void AddIfChanged(std::string_view what, uint64_t from, uint64_t to) {
    AddIfChanged(what, fmt::to_string(from), fmt::to_string(to));
  }
  bool is_empty() const { return texts_.empty(); }
  std::vector<std::string> Take() { return std::move(texts_); }

 private:
  std::vector<std::string> texts_;
};

std::string Owners(const pb::Backend& backend) {
  std::vector<std::string> owners;
  for (const pb::Claim& claim : backend.claims()) owners.push_back(claim.owner());
  return fmt::format("{}", fmt::join(owners, ","));
}

// " (timeout: connect: no answer)", where there is more to say than that all is well.
std::string Because(const pb::BackendStatus& status) {
  const bool is_plain = status.reason() == pb::HEALTH_REASON_UNSPECIFIED ||
                        status.reason() == pb::HEALTH_REASON_OK ||
                        status.reason() == pb::HEALTH_REASON_INITIAL;
  if (is_plain && status.detail().empty()) return "";
  if (is_plain) return fmt::format(" ({})", status.detail());
  return fmt::format(" ({}{}{})", ReasonWord(status), status.detail().empty() ? "" : ": ",
                     status.detail());
}

// The state says it already.
bool IsImplied(const pb::BackendStatus& status) {
  return (status.state() == pb::BACKEND_STATE_UNHEALTHY &&
          status.health() == pb::HEALTH_UNHEALTHY) ||
         (status.state() == pb::BACKEND_STATE_SERVING && status.health() == pb::HEALTH_HEALTHY);
}

void AddStatusTexts(const pb::BackendStatus& from, const pb::BackendStatus& to, Texts* texts) {
  const std::string because = Because(to);
  const bool is_new_state = from.state() != to.state();
  const bool is_new_health = from.health() != to.health();
  if (is_new_state) {
    texts->Add(fmt::format("{} -> {}{}", StateCell(from).text, StateCell(to).text, because));
  }
  if (is_new_health && !(is_new_state && IsImplied(to))) {
    texts->Add(fmt::format("health {} -> {}{}", HealthCell(from).text, HealthCell(to).text,
                           is_new_state ? "" : because));
  }
  if (!is_new_state && !is_new_health) {
    texts->AddIfChanged("reason", ReasonWord(from), ReasonWord(to));
  }
  if (to.has_ejected_until() && !from.has_ejected_until()) texts->Add("ejected");
  if (!to.has_ejected_until() && from.has_ejected_until()) texts->Add("readmitted");
  if (from.ineligible_reason() != to.ineligible_reason() && !is_new_state && !is_new_health) {
    const std::string why = WhyIneligible(to);
    texts->Add(why.empty() ? "takes sessions" : fmt::format("takes no sessions: {}", why));
  }
  const bool is_leaving =
      to.state() == pb::BACKEND_STATE_DRAINING || to.state() == pb::BACKEND_STATE_REMOVING;
  if (is_leaving && from.active_connections() != to.active_connections()) {
    texts->Add(fmt::format("{} session{} left", to.active_connections(),
                           to.active_connections() == 1 ? "" : "s"));
  }
}

std::vector<std::string> BackendTexts(const pb::Backend& from, const pb::Backend& to) {
  Texts texts;
  AddStatusTexts(from.status(), to.status(), &texts);
  texts.AddIfChanged("weight", WeightOf(from), WeightOf(to));
  texts.AddIfChanged("override", OverrideText(from), OverrideText(to));
  texts.AddIfChanged("claimed by", Owners(from), Owners(to));
  const pb::BackendSpec& old_spec = from.effective();
  const pb::BackendSpec& new_spec = to.effective();
  texts.AddIfChanged("priority", old_spec.priority(), new_spec.priority());
  texts.AddIfChanged("max-connections", old_spec.max_connections(), new_spec.max_connections());
  texts.AddIfChanged("zone", old_spec.zone(), new_spec.zone());
  texts.AddIfChanged("group", old_spec.group(), new_spec.group());
  texts.AddIfChanged("tags", TagsText(old_spec), TagsText(new_spec));
  if (texts.is_empty() && from.revision() != to.revision()) texts.Add("changed");
  return texts.Take();
}

std::vector<std::string> PoolTexts(const pb::Pool& from, const pb::Pool& to) {
  Texts texts;
  const pb::PoolStatus& old_status = from.status();
  const pb::PoolStatus& new_status = to.status();
  texts.AddIfChanged("mode", ModeWord(from.mode()), ModeWord(to.mode()));
  texts.AddIfChanged("backends", old_status.total(), new_status.total());
  texts.AddIfChanged("serving", old_status.serving(), new_status.serving());
  texts.AddIfChanged("unhealthy", old_status.unhealthy(), new_status.unhealthy());
  texts.AddIfChanged("draining", old_status.draining(), new_status.draining());
  texts.AddIfChanged("disabled", old_status.disabled(), new_status.disabled());
  texts.AddIfChanged("active priority", old_status.active_priority(), new_status.active_priority());
  if (new_status.panic() != old_status.panic()) {
    texts.Add(new_status.panic() ? "panic: uses unhealthy backends too" : "panic is over");
  }
  if (texts.is_empty() && from.revision() != to.revision()) texts.Add("changed");
  return texts.Take();
}

std::vector<std::string> ListenerTexts(const pb::Listener& from, const pb::Listener& to) {
  Texts texts;
  texts.AddIfChanged("", ListenerStateCell(from).text, ListenerStateCell(to).text);
  if (to.status().error() != from.status().error() && !to.status().error().empty()) {
    texts.Add(to.status().error());
  }
  texts.AddIfChanged("address", from.address(), to.address());
  texts.AddIfChanged("pool", from.pool(), to.pool());
  texts.AddIfChanged("max-connections", from.max_connections(), to.max_connections());
  if (texts.is_empty() && from.revision() != to.revision()) texts.Add("changed");
  return texts.Take();
}

// What stands behind "added", and behind a change of which the old side is not known.
std::vector<std::string> NewTexts(const pb::Event& event) {
  if (event.has_backend()) {
    const pb::Backend& backend = event.backend();
    std::vector<std::string> texts;
    if (backend.has_status()) {
      texts.push_back(StateCell(backend.status()).text + Because(backend.status()));
    }
    texts.push_back(fmt::format("weight {}", WeightOf(backend)));
    if (!backend.claims().empty()) texts.push_back("claimed by " + Owners(backend));
    return texts;
  }
  if (event.has_pool()) return {ModeWord(event.pool().mode())};
  return {event.listener().address(), "pool " + event.listener().pool()};
}

std::string_view KindOf(const pb::Event& event) {
  if (event.has_listener()) return "listener";
  if (event.has_pool()) return "pool";
  if (event.has_backend()) return "backend";
  return event.has_lease() ? "lease" : "";
}

Tone ToneOf(const WatchView::Change& change) {
  if (change.event.kind() == pb::EVENT_KIND_REMOVED) return Tone::kCareful;
  if (change.event.has_backend() && change.event.backend().has_status()) {
    return StateCell(change.event.backend().status()).tone;
  }
  if (change.event.has_listener() && change.event.listener().has_status()) {
    return ListenerStateCell(change.event.listener()).tone;
  }
  return Tone::kPlain;
}

std::string Padded(std::string text, size_t width) {
  const size_t has = TextWidth(text);
  if (has < width) text.append(width - has, ' ');
  return text;
}

// "3 backends: 2 serving, 1 unhealthy".
std::string PoolSummary(const WatchView& view, const std::string& name) {
  std::map<std::string, int> states;
  size_t total = 0;
  auto backend = view.backends().lower_bound({name, ""});
  for (; backend != view.backends().end() && backend->first.first == name; ++backend) {
    ++total;
    if (backend->second.has_status()) ++states[StateCell(backend->second.status()).text];
  }
  std::vector<std::string> parts;
  for (const auto& [word, count] : states) parts.push_back(fmt::format("{} {}", count, word));
  return fmt::format("{}{}{}", Plural(total, "backend"), parts.empty() ? "" : ": ",
                     fmt::join(parts, ", "));
}

}  // namespace

std::string NameOf(const pb::Event& event) {
  if (event.has_listener()) return event.listener().name();
  if (event.has_pool()) return event.pool().name();
  if (event.has_lease()) return event.lease().owner();
  return fmt::format("{}/{}", event.backend().pool(), event.backend().address());
}

std::vector<std::string> ChangeTexts(const WatchView::Change& change) {
  const pb::Event& event = change.event;
  if (event.has_lease()) {
    const pb::Lease& lease = event.lease();
    if (event.kind() == pb::EVENT_KIND_REMOVED) return {"released"};
    if (lease.expired()) {
      return {
          fmt::format("expired: {} has not renewed it, {} claims", lease.holder(), lease.claims())};
    }
    return {fmt::format("held by {} for {}", lease.holder(), DurationText(FromProto(lease.ttl())))};
  }
  if (event.kind() == pb::EVENT_KIND_REMOVED) return {"removed"};
  if (!change.before) {
    std::vector<std::string> texts = NewTexts(event);
    if (change.is_new) texts.insert(texts.begin(), "added");
    return texts;
  }
  if (event.has_backend()) return BackendTexts(change.before->backend(), event.backend());
  if (event.has_pool()) return PoolTexts(change.before->pool(), event.pool());
  return ListenerTexts(change.before->listener(), event.listener());
}

Table::Cell HealthLetter(const pb::Event& event) {
  if (!event.has_backend() || event.kind() == pb::EVENT_KIND_REMOVED) return {"-", Tone::kFaint};
  // One that is ejected may still answer its probes.
  if (event.backend().status().state() == pb::BACKEND_STATE_UNHEALTHY) return {"U", Tone::kBad};
  switch (event.backend().status().health()) {
    case pb::HEALTH_HEALTHY:
      return {"H", Tone::kGood};
    case pb::HEALTH_UNHEALTHY:
      return {"U", Tone::kBad};
    default:
      return {event.backend().has_status() ? "?" : "-", Tone::kFaint};
  }
}

std::string EventLine(const WatchView::Change& change, absl::Time time, std::string_view actor,
                      const EventLineLayout& layout) {
  const std::vector<std::string> texts = ChangeTexts(change);
  if (texts.empty()) return "";
  const Table::Cell letter = HealthLetter(change.event);
  std::string line = fmt::format(
      "{}  {}  {}  {}  {}",
      Paint(absl::FormatTime("%H:%M:%E3S", time, layout.zone), Tone::kFaint, layout.colour),
      Paint(letter.text, letter.tone, layout.colour),
      Padded(std::string(KindOf(change.event)), kKindWidth),
      Padded(Printable(NameOf(change.event)), layout.name_width),
      Paint(Printable(fmt::format("{}", fmt::join(texts, ", "))), ToneOf(change), layout.colour));
  if (!actor.empty()) {
    line += Paint(fmt::format("  by {}", Printable(actor)), Tone::kFaint, layout.colour);
  }
  return line + "\n";
}

std::string SummaryLines(const WatchView& view, Colour colour) {
  std::string text =
      fmt::format("{}, {}, {} at revision {}\n", Plural(view.listeners().size(), "listener"),
                  Plural(view.pools().size(), "pool"), Plural(view.backends().size(), "backend"),
                  view.revision());
  size_t width = 0;
  for (const auto& [name, pool] : view.pools()) width = std::max(width, TextWidth(name));
  size_t count = 0;
  for (const auto& [name, pool] : view.pools()) {
    if (count++ == kMaxSummaryPools) {
      text +=
          fmt::format("  and {}\n", Plural(view.pools().size() - kMaxSummaryPools, "more pool"));
      break;
    }
    text += fmt::format("  {}  {}, {}\n", Padded(Printable(name), width), ModeWord(pool.mode()),
                        PoolSummary(view, name));
  }
  // One faint block, so that it stands apart from the events.
  text.pop_back();
  return Paint(text, Tone::kFaint, colour) + "\n";
}

std::string TokenLine(const google::protobuf::Message& message, std::string_view token,
                      JsonLayout layout) {
  std::string json = ToJson(message, layout, JsonFields::kAll);
  const size_t brace = json.rfind('}');
  const bool is_indented = layout == JsonLayout::kIndented;
  const size_t end = is_indented && brace > 0 && json[brace - 1] == '\n' ? brace - 1 : brace;
  const bool is_empty = json.find_first_of("\"") == std::string::npos;
  return fmt::format("{}{}{}\"resumeToken\":{}\"{}\"{}}}\n", json.substr(0, end),
                     is_empty ? "" : ",", is_indented ? "\n " : "", is_indented ? " " : "", token,
                     is_indented ? "\n" : "");
}

}  // namespace sidelb::client
