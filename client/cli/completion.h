// What may follow a command line that is not finished: found by walking the verbs and options that
// are declared, so that there is no second list of them. Names of pools and the like are the
// daemon's; commands_complete.cc asks for them.
//
// Thread safety: pure functions.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "client/cli/arguments.h"

namespace sidelb::client {

// `words` are those of the line after the program's name; the last one, which may be empty, is what
// the candidates complete.
Completion CompleteLine(const std::vector<std::string>& words);

// The values that an option or an argument of this type allows ("MODE", "FORMAT"); none where it is
// no matter of a fixed set.
std::vector<std::string> AllowedWords(std::string_view type);

// Those of `candidates` that go on with the word, sorted, each once and as a whole word.
std::vector<std::string> Matching(const Completion& completion,
                                  std::vector<std::string> candidates);

// The script that makes a shell ask `sidelb-cli __complete`; `shell` is one of
// AllowedWords("SHELL").
std::string CompletionScript(std::string_view shell);

}  // namespace sidelb::client
