// What `sidelb-cli completion SHELL` prints. A single answer ":files" of __complete means that the
// shell completes the name of a file.
#include "client/cli/completion.h"

namespace sidelb::client {
namespace {

constexpr std::string_view kBash = R"script(# bash completion of sidelb-cli:
#   source <(sidelb-cli completion bash)
_sidelb_cli() {
  local rest=${COMP_LINE:0:COMP_POINT} words=() word current breaks cut i
  # bash also breaks words at : and =. Words are what blanks part.
  for ((i = 0; i <= COMP_CWORD; i++)); do
    word=${COMP_WORDS[i]}
    if ((i == 0)) || [[ $rest == [[:blank:]]* ]]; then
      rest=${rest#"${rest%%[![:blank:]]*}"}
      words+=("")
    fi
    ((${#word} > ${#rest})) && word=$rest
    rest=${rest:${#word}}
    words[${#words[@]}-1]+=$word
  done
  current=${words[${#words[@]}-1]}
  COMPREPLY=()
  while IFS= read -r word; do
    COMPREPLY+=("$word")
  done < <("$1" __complete -- "${words[@]:1}" 2>/dev/null)
  if [[ ${COMPREPLY[0]-} == :files ]]; then
    compopt -o filenames 2>/dev/null
    COMPREPLY=()
    while IFS= read -r word; do
      COMPREPLY+=("$word")
    done < <(compgen -f -- "$2")
    return
  fi
  # bash replaces only what stands behind the last break.
  breaks=${COMP_WORDBREAKS//[^:=]/}
  [[ -n $breaks ]] || return 0
  cut=${current%"${current##*[$breaks]}"}
  for i in "${!COMPREPLY[@]}"; do
    COMPREPLY[i]=${COMPREPLY[i]#"$cut"}
  done
}
complete -F _sidelb_cli sidelb-cli
)script";

constexpr std::string_view kZsh = R"script(#compdef sidelb-cli
# zsh completion of sidelb-cli; after compinit:
#   source <(sidelb-cli completion zsh)
_sidelb_cli() {
  local -a answers
  answers=("${(@f)$(${(Q)words[1]} __complete -- "${(@Q)words[2,CURRENT-1]}" "${(Q)PREFIX}" 2>/dev/null)}")
  if [[ ${answers[1]} == :files ]]; then
    _files
  elif [[ -n ${answers[1]} ]]; then
    compadd -Q -a answers
  fi
}
compdef _sidelb_cli sidelb-cli
)script";

constexpr std::string_view kFish = R"script(# fish completion of sidelb-cli:
#   sidelb-cli completion fish | source
function __sidelb_cli
  set -l words (commandline -opc)
  set -l current (commandline -ct)
  set -l answers ($words[1] __complete -- $words[2..] "$current" 2>/dev/null)
  if test "$answers[1]" = ":files"
    __fish_complete_path "$current"
  else
    printf '%s\n' $answers
  end
end
complete -c sidelb-cli -f -a '(__sidelb_cli)'
)script";

}  // namespace

std::string CompletionScript(std::string_view shell) {
  if (shell == "bash") return std::string(kBash);
  return std::string(shell == "zsh" ? kZsh : kFish);
}

}  // namespace sidelb::client
