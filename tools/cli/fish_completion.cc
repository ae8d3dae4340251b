#include <fmt/format.h>
#include <fmt/ranges.h>

#include <string>
#include <vector>

#include "tools/cli/shell_completion.h"

namespace quern {
namespace {

/// Says whether the line is in the command that the given words lead to.
constexpr const char* kBegin = R"(# Completion for fish, written by `{0} completion fish`.
function __{0}_is_in
    set -l command
    for word in (commandline -opc)[2..-1]
        switch "$command $word"
            case {1}
                set command "$command $word"
        end
    end
    test "$command" = "$argv"
end
complete -c {0} -f
)";

std::string Quoted(const std::string& text) {
  std::string quoted = "'";
  for (const char c : text) {
    if (c == '\'' || c == '\\') quoted += '\\';
    quoted += c;
  }
  return quoted + "'";
}

/// The end of a line that completes a value; -F undoes the script's -f.
std::string Value(const ArgumentDescription& argument) {
  switch (argument.kind) {
    case ValueKind::kChoice:
      return fmt::format(" -a {}", Quoted(fmt::format("{}", fmt::join(argument.choices, " "))));
    case ValueKind::kFile:
      return " -F";
    case ValueKind::kFolder:
      return " -a '(__fish_complete_directories)'";
    case ValueKind::kModel:
      return " -k -a '(__fish_complete_suffix .gguf)'";
    default:
      return "";
  }
}

std::string Names(const ArgumentDescription& option) {
  std::string names;
  for (const std::string& name : option.names) {
    names += name.starts_with("--") ? " -l " + name.substr(2) : " -s " + name.substr(1);
  }
  for (const std::string& name : option.more_names) names += " -o " + name.substr(1);
  return names;
}

}  // namespace

std::string FishCompletion(const CommandDescription& root) {
  std::vector<std::string> commands;
  std::string lines;
  for (const auto& [words, command] : AllCommands(root)) {
    if (!words.empty()) commands.push_back(Quoted(words));
    const std::string begin =
        fmt::format("complete -c {0} -n \"__{0}_is_in '{1}'\"", root.name, words);
    for (const CommandDescription& below : command->commands) {
      lines += fmt::format("{} -a {} -d {}\n", begin, below.name, Quoted(below.description));
    }
    for (const ArgumentDescription& positional : command->positionals) {
      if (const std::string value = Value(positional); !value.empty()) {
        lines += begin + value + '\n';
      }
    }
    for (const ArgumentDescription& option : command->options) {
      // -r alone would offer files.
      const char* needs_value = option.kind == ValueKind::kNone   ? ""
                                : option.kind == ValueKind::kFile ? " -r"
                                                                  : " -x";
      lines += fmt::format("{}{}{}{} -d {}\n", begin, Names(option), needs_value, Value(option),
                           Quoted(option.description));
    }
  }
  return fmt::format(fmt::runtime(kBegin), root.name, fmt::join(commands, " ")) + lines;
}

}  // namespace quern
