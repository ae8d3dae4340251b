#include <fmt/format.h>
#include <fmt/ranges.h>

#include <string>
#include <vector>

#include "tools/cli/shell_completion.h"

namespace quern {
namespace {

/// Finds which command the line is in, as the words that lead to it. What `take` comes to hold is
/// what may stand at the cursor beside options: "words", which are in `words`, "file", "folder",
/// "model".
constexpr const char* kBegin = R"(# Completion for bash, written by `{0} completion bash`.
_{0}() {{
  local current=${{COMP_WORDS[COMP_CWORD]}} previous=${{COMP_WORDS[COMP_CWORD - 1]}}
  local command="" options="" take="" words="" i
  # --load=mmap is three words here.
  if [[ $current == "=" ]]; then
    current=""
  elif [[ $previous == "=" ]]; then
    previous=${{COMP_WORDS[COMP_CWORD - 2]}}
  fi
  for ((i = 1; i < COMP_CWORD; i++)); do
    case "$command ${{COMP_WORDS[i]}}" in
      {1}) command+=" ${{COMP_WORDS[i]}}" ;;
    esac
  done
  case $command in
)";

constexpr const char* kEnd = R"(  esac
  COMPREPLY=()
  if [[ $current == -* && -n $options ]]; then
    mapfile -t COMPREPLY < <(compgen -W "$options" -- "$current")
    return
  fi
  if [[ $take == *words* ]]; then
    mapfile -t COMPREPLY < <(compgen -W "$words" -- "$current")
  fi
  local filter
  case $take in
    *model*) filter=(-X '!*.gguf' -f) ;;
    *file*) filter=(-f) ;;
    *folder*) filter=(-d) ;;
    *) return ;;
  esac
  compopt -o filenames
  mapfile -t -O ${{#COMPREPLY[@]}} COMPREPLY < <(
    {{
      compgen "${{filter[@]}}" -- "$current"
      compgen -d -- "$current"
    }} | sort -u
  )
}}
complete -F _{0} {0}
)";

const char* Take(ValueKind kind) {
  switch (kind) {
    case ValueKind::kChoice:
      return "words";
    case ValueKind::kFile:
      return "file";
    case ValueKind::kFolder:
      return "folder";
    case ValueKind::kModel:
      return "model";
    default:
      return "";
  }
}

/// What the command's own words may be.
std::string Positionals(const CommandDescription& command) {
  std::vector<std::string> take;
  std::vector<std::string> words;
  for (const CommandDescription& below : command.commands) words.push_back(below.name);
  if (!words.empty()) take.emplace_back("words");
  for (const ArgumentDescription& positional : command.positionals) {
    if (const std::string kind = Take(positional.kind); !kind.empty()) take.push_back(kind);
    words.insert(words.end(), positional.choices.begin(), positional.choices.end());
  }
  if (take.empty()) return "";
  return fmt::format("      take=\"{}\" words=\"{}\"\n", fmt::join(take, " "),
                     fmt::join(words, " "));
}

std::string Case(const std::string& words, const CommandDescription& command) {
  std::vector<std::string> options;
  std::vector<std::string> with_free_values;
  std::string values;
  for (const ArgumentDescription& option : command.options) {
    options.insert(options.end(), option.names.begin(), option.names.end());
    std::vector<std::string> names = option.names;
    names.insert(names.end(), option.more_names.begin(), option.more_names.end());
    if (option.kind == ValueKind::kFree) {
      with_free_values.insert(with_free_values.end(), names.begin(), names.end());
    } else if (option.kind != ValueKind::kNone) {
      values +=
          fmt::format("        {}) options=\"\" take=\"{}\" words=\"{}\" ;;\n",
                      fmt::join(names, " | "), Take(option.kind), fmt::join(option.choices, " "));
    }
  }
  if (!with_free_values.empty()) {
    values +=
        fmt::format("        {}) options=\"\" take=\"\" ;;\n", fmt::join(with_free_values, " | "));
  }
  std::string text = fmt::format("    \"{}\")\n      options=\"{}\"\n{}", words,
                                 fmt::join(options, " "), Positionals(command));
  if (!values.empty()) text += fmt::format("      case $previous in\n{}      esac\n", values);
  return text + "      ;;\n";
}

}  // namespace

std::string BashCompletion(const CommandDescription& root) {
  std::vector<std::string> commands;
  std::string cases;
  for (const auto& [words, command] : AllCommands(root)) {
    if (!words.empty()) commands.push_back('"' + words + '"');
    cases += Case(words, *command);
  }
  return fmt::format(fmt::runtime(kBegin), root.name, fmt::join(commands, " | ")) + cases +
         fmt::format(fmt::runtime(kEnd), root.name);
}

}  // namespace quern
