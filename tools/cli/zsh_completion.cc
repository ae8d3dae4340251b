#include <fmt/format.h>
#include <fmt/ranges.h>

#include <string>
#include <string_view>
#include <vector>

#include "tools/cli/shell_completion.h"

namespace quern {
namespace {

/// In single quotes, with a backslash before what is special to _arguments and _describe.
std::string Quoted(std::string_view text, std::string_view special) {
  std::string quoted;
  for (const char c : text) {
    if (c == '\'') {
      quoted += "'\\''";
    } else {
      if (special.find(c) != std::string_view::npos) quoted += '\\';
      quoted += c;
    }
  }
  return quoted;
}

/// What completes a value, behind the colon of a specification.
std::string Action(const ArgumentDescription& argument) {
  switch (argument.kind) {
    case ValueKind::kChoice:
      return fmt::format("({})", fmt::join(argument.choices, " "));
    case ValueKind::kFile:
      return "_files";
    case ValueKind::kFolder:
      return "_files -/";
    case ValueKind::kModel:
      return "_files -g \"*.gguf\"";
    default:
      return " ";
  }
}

/// One specification for each name; those of one option exclude each other.
std::string OptionSpecs(const ArgumentDescription& option) {
  std::vector<std::string> names = option.names;
  names.insert(names.end(), option.more_names.begin(), option.more_names.end());
  const std::string prefix = option.may_repeat ? "*" : fmt::format("({})", fmt::join(names, " "));
  std::string value;
  if (option.kind != ValueKind::kNone) value = fmt::format(":{}:{}", option.word, Action(option));
  std::string specs;
  for (const std::string& name : names) {
    const bool has_sign = !value.empty() && name.starts_with("--");
    specs += fmt::format(" \\\n    '{}{}{}[{}]{}'", prefix, name, has_sign ? "=" : "",
                         Quoted(option.description, "\\[]"), value);
  }
  return specs;
}

std::string PositionalSpec(const ArgumentDescription& positional) {
  const char* begin = positional.is_required ? ":" : "::";
  return fmt::format(" \\\n    '{}{}:{}'", positional.may_repeat ? "*:" : begin,
                     Quoted(positional.names.front() + ", " + positional.description, "\\:"),
                     Action(positional));
}

/// "_quern_key_new" for " key new".
std::string FunctionName(const std::string& program, const std::string& words) {
  std::string name = "_" + program + words;
  for (char& c : name) {
    if (c == ' ') c = '_';
  }
  return name;
}

std::string Function(const std::string& program, const std::string& words,
                     const CommandDescription& command) {
  std::string specs;
  for (const ArgumentDescription& option : command.options) specs += OptionSpecs(option);
  for (const ArgumentDescription& positional : command.positionals) {
    specs += PositionalSpec(positional);
  }
  const std::string name = FunctionName(program, words);
  if (command.commands.empty()) return fmt::format("{}() {{\n  _arguments{}\n}}\n\n", name, specs);

  std::string descriptions;
  std::string cases;
  for (const CommandDescription& below : command.commands) {
    descriptions += fmt::format("        '{}:{}'\n", Quoted(below.name, "\\:"),
                                Quoted(below.description, "\\"));
    cases += fmt::format("        {}) {} ;;\n", below.name,
                         FunctionName(program, words + " " + below.name));
  }
  return fmt::format(R"({}() {{
  local curcontext=$curcontext state line
  local -a commands
  typeset -A opt_args
  _arguments -C{} \
    '1:command:->command' \
    '*::argument:->argument'
  case $state in
    command)
      commands=(
{}      )
      _describe command commands
      ;;
    argument)
      case $words[1] in
{}      esac
      ;;
  esac
}}

)",
                     name, specs, descriptions, cases);
}

}  // namespace

std::string ZshCompletion(const CommandDescription& root) {
  std::string text = fmt::format(
      "#compdef {0}\n# Completion for zsh, written by `{0} completion zsh`.\n\n", root.name);
  for (const auto& [words, command] : AllCommands(root)) {
    text += Function(root.name, words, *command);
  }
  return text + fmt::format("_{0} \"$@\"\n", root.name);
}

}  // namespace quern
