#include "tools/cli/command_tree.h"

#include <sstream>

#include "tools/cli/commands.h"
#include "tools/cli/help_formatter.h"

namespace quern {
namespace {

/// CLI11 keeps what a value may be in the text that describes its type alone: "TEXT:{a,b}" of
/// IsMember, "TYPE:value in {a->0,b->1} OR {0,1}" of CheckedTransformer.
std::vector<std::string> ChoicesOf(const std::string& type) {
  std::vector<std::string> choices;
  const size_t open = type.find('{');
  const size_t close = type.find('}', open);
  if (close == std::string::npos) return choices;
  std::istringstream list(type.substr(open + 1, close - open - 1));
  for (std::string choice; std::getline(list, choice, ',');) {
    choices.push_back(choice.substr(0, choice.find("->")));
  }
  return choices;
}

ValueKind KindOf(const ArgumentDescription& argument) {
  if (argument.word.empty()) return ValueKind::kNone;
  if (!argument.choices.empty()) return ValueKind::kChoice;
  if (argument.word == "FILE") return ValueKind::kFile;
  if (argument.word == "FOLDER") return ValueKind::kFolder;
  return argument.word == "MODEL" ? ValueKind::kModel : ValueKind::kFree;
}

/// All but its names.
ArgumentDescription DescribeArgument(const CLI::Option& option) {
  ArgumentDescription argument;
  argument.description = HelpFormatter().make_option_desc(&option);
  argument.group = option.get_group();
  argument.variable = option.get_envname();
  argument.word = ValueWord(option);
  argument.choices = ChoicesOf(option.get_type_name());
  argument.kind = KindOf(argument);
  argument.is_required = option.get_required();
  argument.may_repeat = option.get_expected_max() > 1;
  return argument;
}

void AddWithCommandsBelow(const std::string& words, const CommandDescription& command,
                          std::vector<std::pair<std::string, const CommandDescription*>>* all) {
  all->emplace_back(words, &command);
  for (const CommandDescription& below : command.commands) {
    AddWithCommandsBelow(words + " " + below.name, below, all);
  }
}

}  // namespace

CommandDescription Describe(const CLI::App& command) {
  CommandDescription result;
  result.name = command.get_name();
  result.description = command.get_description();
  for (const CLI::Option* option : command.get_options()) {
    if (option->get_group().empty()) continue;
    ArgumentDescription argument = DescribeArgument(*option);
    if (option->get_positional()) {
      argument.names = {option->get_name(/*positional=*/true)};
      result.positionals.push_back(argument);
      argument.names.clear();
    }
    for (const std::string& name : option->get_snames()) argument.names.push_back("-" + name);
    for (const std::string& name : option->get_lnames()) {
      argument.names.push_back("--" + name);
      for (std::string& more : ShortNamesOf("--" + name)) {
        argument.more_names.push_back(std::move(more));
      }
    }
    if (!argument.names.empty()) result.options.push_back(std::move(argument));
  }
  for (const CLI::App* below : command.get_subcommands({})) {
    if (!below->get_group().empty()) result.commands.push_back(Describe(*below));
  }
  return result;
}

std::vector<std::pair<std::string, const CommandDescription*>> AllCommands(
    const CommandDescription& root) {
  std::vector<std::pair<std::string, const CommandDescription*>> all;
  AddWithCommandsBelow("", root, &all);
  return all;
}

}  // namespace quern
