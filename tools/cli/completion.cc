// `quern completion`: prints a script that completes command lines in a shell.
#include <fmt/format.h>

#include <map>
#include <memory>
#include <string>

#include "tools/cli/command_tree.h"
#include "tools/cli/commands.h"
#include "tools/cli/shell_completion.h"

namespace quern {
namespace {

using Writer = std::string (*)(const CommandDescription&);

constexpr const char* kHelp = R"(
  source <(quern completion bash)                                         # for this shell
  quern completion bash > ~/.local/share/bash-completion/completions/quern
  quern completion zsh > ~/.zfunc/_quern              # ~/.zfunc must be in fpath before compinit
  quern completion fish > ~/.config/fish/completions/quern.fish

Packages and cmake --install put them in their places for all users.
)";

}  // namespace

void AddCompletionCommand(Commands& commands) {
  auto shell = std::make_shared<std::string>();
  static const std::map<std::string, Writer> kWriters = {
      {"bash", BashCompletion}, {"fish", FishCompletion}, {"zsh", ZshCompletion}};
  CLI::App* command =
      commands.Add("completion", "Print a script that completes commands and options in a shell",
                   [shell, &commands] {
                     fmt::print("{}", kWriters.at(*shell)(Describe(commands.app())));
                     return 0;
                   });
  command->add_option("SHELL", *shell, "bash, zsh or fish")
      ->check(CLI::IsMember({"bash", "zsh", "fish"}))
      ->required();
  command->footer(kHelp);
}

}  // namespace quern
