// The subcommands of `quern`: how one is added and run, and the function of each, defined in the
// file of its name.
#pragma once

#include <CLI/CLI.hpp>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "gguf/base/result.h"

namespace quern {

/// What a command does: gives the exit code of the process, or an error that main prints in one
/// line (exit code 1).
using CommandBody = std::function<Result<int>()>;

/// The command line: its parser and the body of every command.
class Commands {
 public:
  Commands();

  /// A new command, of a group if one is given; the caller adds its options to the result. `body`
  /// runs after they are parsed, so what they are bound to must outlive the parse: a command keeps
  /// its options in a shared_ptr that the body holds.
  CLI::App* Add(const std::string& name, const std::string& description, CommandBody body,
                CLI::App* group = nullptr);
  /// A word that one of its own commands follows, as in `quern key new`.
  CLI::App* AddGroup(const std::string& name, const std::string& description);

  /// Parses the command line and runs the command that it names. Returns the exit code.
  int Run(int argc, const char* const* argv);

  const CLI::App& app() const { return app_; }

 private:
  CLI::App app_;
  std::map<const CLI::App*, CommandBody> bodies_;
};

/// llama.cpp's names of several letters behind one dash for an option: "-np" for "--parallel".
std::vector<std::string> ShortNamesOf(std::string_view long_name);

/// Every command, in the order of the help.
void AddAllCommands(Commands& commands);

void AddRunCommand(Commands& commands);
void AddChatCommand(Commands& commands);
void AddBatchCommand(Commands& commands);
void AddInspectCommand(Commands& commands);
void AddTokenizeCommand(Commands& commands);
void AddDetokenizeCommand(Commands& commands);
void AddQuantizeCommand(Commands& commands);
void AddSynthCommand(Commands& commands);
void AddLogitsCommand(Commands& commands);
void AddVerifyCommand(Commands& commands);
void AddPerplexityCommand(Commands& commands);
void AddBenchCommand(Commands& commands);
void AddTuneCommand(Commands& commands);
void AddServeCommand(Commands& commands);
void AddInstallServiceCommand(Commands& commands);
void AddServiceFilesCommand(Commands& commands);
void AddCertCommand(Commands& commands);
void AddKeyCommands(Commands& commands);
void AddPullCommand(Commands& commands);
void AddListCommand(Commands& commands);
void AddRemoveCommand(Commands& commands);
void AddCompletionCommand(Commands& commands);
void AddManCommand(Commands& commands);

}  // namespace quern
