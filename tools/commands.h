// The subcommands of `quern`: one function per command, defined in the file of its name.
#pragma once

#include <CLI/CLI.hpp>

namespace quern {

void AddRunCommand(CLI::App& app);
void AddChatCommand(CLI::App& app);
void AddInspectCommand(CLI::App& app);
void AddTokenizeCommand(CLI::App& app);
void AddDetokenizeCommand(CLI::App& app);
void AddQuantizeCommand(CLI::App& app);
void AddSynthCommand(CLI::App& app);
void AddLogitsCommand(CLI::App& app);
void AddVerifyCommand(CLI::App& app);
void AddPerplexityCommand(CLI::App& app);
void AddBenchCommand(CLI::App& app);

}  // namespace quern
