#include "client/cli/completion.h"

#include <algorithm>
#include <memory>
#include <optional>

#include "client/cli/raw_methods.h"
#include "client/cli/values.h"
#include "client/cli/verbs.h"

namespace sidelb::client {
namespace {

using Names = Completion::Names;

std::vector<std::string> EnumWords(const google::protobuf::EnumDescriptor* descriptor,
                                   std::string_view prefix) {
  std::vector<std::string> words;
  for (int i = 0; i < descriptor->value_count(); ++i) {
    if (descriptor->value(i)->number() == 0) continue;
    words.push_back(Word(descriptor->value(i)->name(), prefix));
  }
  return words;
}

bool IsFlag(const CLI::Option& option) { return option.get_items_expected_max() == 0; }

// Goes through the words before the last one as the parser would, without judging them.
class LineWalk {
 public:
  explicit LineWalk(const std::vector<std::string>& words) {
    DeclareCommandLine(&root_, &help_, &arguments_);
    for (size_t i = 0; i + 1 < words.size(); ++i) Take(words[i]);
    CompleteWord(words.empty() ? "" : words.back());
  }

  Completion Result() { return std::move(result_); }

 private:
  const CLI::Option* Find(std::string_view name) const {
    for (const CLI::App* app = app_; app != nullptr; app = app->get_parent()) {
      for (const CLI::Option* option : OptionsOf(*app)) {
        if (!option->get_positional() && option->check_name(std::string(name))) return option;
      }
    }
    return nullptr;
  }

  static std::vector<const CLI::Option*> OptionsOf(const CLI::App& app) {
    return app.get_options([](const CLI::Option*) { return true; });
  }

  void Take(const std::string& word) {
    if (awaiting_ != nullptr) {
      // --wait may stand without a value.
      const std::string type = awaiting_->get_type_name();
      const bool is_value = type != "LEVEL" || IsAllowed(type, word);
      const CLI::Option* const option = std::exchange(awaiting_, nullptr);
      if (is_value) return Keep(*option, word);
    }
    if (!are_options_over_ && word == "--") {
      are_options_over_ = true;
    } else if (!are_options_over_ && word.size() > 1 && word.starts_with('-')) {
      TakeOption(word);
    } else if (const CLI::App* below = positionals_.empty() ? Below(word) : nullptr) {
      app_ = below;
    } else {
      positionals_.push_back(word);
    }
  }

  void TakeOption(const std::string& word) {
    const size_t equals = word.starts_with("--") ? word.find('=') : std::string::npos;
    const CLI::Option* const option = Find(word.substr(0, equals));
    if (option == nullptr || IsFlag(*option)) return;
    Keep(*option, word);
    if (equals == std::string::npos) awaiting_ = option;
  }

  // Where the daemon is stands in the line.
  void Keep(const CLI::Option& option, const std::string& word) {
    if (option.get_group() == kGlobalGroup) result_.global_words.push_back(word);
  }

  static bool IsAllowed(std::string_view type, const std::string& word) {
    const std::vector<std::string> allowed = AllowedWords(type);
    return std::find(allowed.begin(), allowed.end(), word) != allowed.end();
  }

  const CLI::App* Below(const std::string& word) const {
    for (const CLI::App* below : app_->get_subcommands([](const CLI::App*) { return true; })) {
      if (below->check_name(word)) return below;
    }
    return nullptr;
  }

  void CompleteWord(const std::string& word) {
    result_.prefix = word;
    if (awaiting_ != nullptr) {
      OfferType(awaiting_->get_type_name());
      if (awaiting_->get_type_name() != "LEVEL") return;
    }
    if (!are_options_over_ && word.starts_with('-')) {
      const size_t equals = word.find('=');
      if (!word.starts_with("--") || equals == std::string::npos) return OfferOptions();
      const CLI::Option* const option = Find(word.substr(0, equals));
      if (option == nullptr || IsFlag(*option)) return;
      result_.lead = word.substr(0, equals + 1);
      result_.prefix = word.substr(equals + 1);
      return OfferType(option->get_type_name());
    }
    if (positionals_.empty()) {
      for (const CLI::App* below : app_->get_subcommands([](const CLI::App*) { return true; })) {
        result_.words.push_back(below->get_name());
      }
    }
    OfferPositional();
  }

  void OfferOptions() {
    const CLI::App* verb = app_;
    while (verb->get_parent() != nullptr && verb->get_parent() != &root_) {
      verb = verb->get_parent();
    }
    for (const CLI::App* app = app_; app != nullptr; app = app->get_parent()) {
      // Between the verb and the noun below it options are not shared.
      if (app != app_ && app != &root_) continue;
      for (const CLI::Option* option : OptionsOf(*app)) {
        if (option->get_positional()) continue;
        if (option->get_group() == kWriteGroup && verb->get_group() != kChangingVerbs) continue;
        if (app != app_ && option->get_group() != kGlobalGroup &&
            option->get_group() != kWriteGroup) {
          continue;
        }
        for (const std::string& name : option->get_lnames()) result_.words.push_back("--" + name);
      }
    }
  }

  void OfferPositional() {
    std::vector<const CLI::Option*> declared;
    for (const CLI::Option* option : OptionsOf(*app_)) {
      if (option->get_positional()) declared.push_back(option);
    }
    if (declared.empty()) return;
    const size_t at = std::min(positionals_.size(), declared.size() - 1);
    const bool is_list = declared[at]->get_items_expected_max() > 1;
    if (positionals_.size() >= declared.size() && !is_list) return;
    const std::string name = declared[at]->get_name(/*positional=*/true);
    if (name == "WHAT") return OfferDescribed();
    if (name == "NAME") return OfferNames();
    if (name == "ADDR") return OfferAddresses(positionals_.front());
    OfferType(name);
  }

  // `add` is about what is not there yet.
  bool IsOfAdd() const {
    return app_->get_name() == "add" ||
           (app_->get_parent() != nullptr && app_->get_parent()->get_name() == "add");
  }

  void OfferNames() {
    if (IsOfAdd()) return;
    if (app_->check_name("pool") || app_->check_name("pools")) {
      result_.names = Names::kPools;
    } else if (app_->check_name("listener") || app_->check_name("listeners")) {
      result_.names = Names::kListeners;
    } else {
      result_.names = Names::kPoolsAndListeners;
    }
  }

  void OfferAddresses(const std::string& pool) {
    if (IsOfAdd()) return;
    result_.names = Names::kAddresses;
    result_.pool = pool;
    result_.given = positionals_;
  }

  void OfferDescribed() {
    const size_t count = positionals_.size();
    const std::string noun = count == 0 ? "" : positionals_.front();
    if (count == 0) {
      result_.words = {"pool", "backend", "listener"};
      result_.names = Names::kPools;
    } else if (count == 1 && noun == "listener") {
      result_.names = Names::kListeners;
    } else if (count == 1 && (noun == "pool" || noun == "backend")) {
      result_.names = Names::kPools;
    } else if (count == 1 || (count == 2 && noun == "backend")) {
      OfferAddresses(positionals_.back());
    }
  }

  void OfferType(const std::string& type) {
    for (std::string& word : AllowedWords(type)) result_.words.push_back(std::move(word));
    if (type == "POOL") result_.names = Names::kPools;
    if (type == "OWNER") result_.names = Names::kOwners;
    if (type == "ZONE") result_.names = Names::kZones;
    if (type == "GROUP") result_.names = Names::kGroups;
    if (type.starts_with("KEY=VALUE")) result_.names = Names::kTags;
    if (type == "FILE" || type == "COMMAND") result_.takes_files = true;
    const bool has_pool = !positionals_.empty() && result_.names >= Names::kZones;
    if (has_pool) result_.pool = positionals_.front();
  }

  Arguments arguments_;
  HelpFormatter help_;
  CLI::App root_;
  const CLI::App* app_ = &root_;
  const CLI::Option* awaiting_ = nullptr;  // its value
  std::vector<std::string> positionals_;   // of app_
  bool are_options_over_ = false;
  Completion result_;
};

}  // namespace

Completion CompleteLine(const std::vector<std::string>& words) { return LineWalk(words).Result(); }

std::vector<std::string> AllowedWords(std::string_view type) {
  if (type == "MODE") return EnumWords(pb::Mode_descriptor(), "MODE_");
  if (type == "KEY") return EnumWords(pb::HashKey_descriptor(), "HASH_KEY_");
  if (type == "ACTION") return EnumWords(pb::DrainAction_descriptor(), "DRAIN_ACTION_");
  if (type == "PROBE") return EnumWords(pb::ProbeKind_descriptor(), "PROBE_KIND_");
  if (type == "POLICY") return EnumWords(pb::UdpPolicy_descriptor(), "UDP_POLICY_");
  if (type == "STATE") return EnumWords(pb::BackendState_descriptor(), "BACKEND_STATE_");
  if (type == "PROTOCOL") return EnumWords(pb::Protocol_descriptor(), "PROTOCOL_");
  if (type == "EXPIRY") return EnumWords(pb::ExpiryAction_descriptor(), "EXPIRY_ACTION_");
  if (type == "VIEW") return {"full", "config"};
  if (type == "KIND") return {"listener", "pool", "backend", "lease"};
  if (type == "FORMAT") return {"table", "wide", "json", "jsonl", "csv"};
  if (type == "LEVEL") return {"committed", "applied", "drained"};
  if (type == "CONDITION") return {"healthy", "drained", "applied"};
  if (type == "HEALTH") return {"healthy", "unhealthy"};
  if (type == "METHOD") return RawMethods();
  if (type == "SHELL") return {"bash", "zsh", "fish"};
  return {};
}

std::vector<std::string> Matching(const Completion& completion,
                                  std::vector<std::string> candidates) {
  std::sort(candidates.begin(), candidates.end());
  candidates.erase(std::unique(candidates.begin(), candidates.end()), candidates.end());
  std::vector<std::string> matching;
  for (std::string& candidate : candidates) {
    const bool is_given = std::find(completion.given.begin(), completion.given.end(), candidate) !=
                          completion.given.end();
    if (!candidate.empty() && candidate.starts_with(completion.prefix) && !is_given) {
      matching.push_back(completion.lead + candidate);
    }
  }
  return matching;
}

}  // namespace sidelb::client
