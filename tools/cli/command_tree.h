// The command line as data, for what is written about it: shell completion and the manual page.
#pragma once

#include <CLI/CLI.hpp>
#include <string>
#include <utility>
#include <vector>

namespace quern {

enum class ValueKind {
  kNone,    ///< a flag
  kFree,    ///< a number or a text
  kChoice,  ///< one of `choices`
  kFile,
  kFolder,
  kModel,  ///< a GGUF file
};

/// An option, or what a command takes without one. One that may be given both ways is in both lists
/// of its command.
struct ArgumentDescription {
  std::vector<std::string> names;       ///< "-m", "--model"; or "MODEL" alone
  std::vector<std::string> more_names;  ///< those of ShortNamesOf, which the description tells
  std::string description;              ///< with the default, as in the help
  std::string group;                    ///< heading of the help that it stands under
  std::string variable;                 ///< of the environment that sets it too; may be empty
  std::string word;                     ///< stands for the value: "N"; empty for a flag
  ValueKind kind = ValueKind::kNone;
  std::vector<std::string> choices;
  bool is_required = false;
  bool may_repeat = false;

  bool operator==(const ArgumentDescription&) const = default;
};

struct CommandDescription {
  std::string name;
  std::string description;
  std::vector<ArgumentDescription> positionals;
  std::vector<ArgumentDescription> options;
  std::vector<CommandDescription> commands;  ///< of which one must follow
};

/// All that the help shows of `command`.
CommandDescription Describe(const CLI::App& command);

/// `root` and all commands below it, each with the words that lead to it: "", " key", " key new".
std::vector<std::pair<std::string, const CommandDescription*>> AllCommands(
    const CommandDescription& root);

}  // namespace quern
