// Entry of the `quern` executable: the list of its commands.
#include <fmt/format.h>

#include <cstdio>
#include <exception>

#include "tools/commands.h"

int main(int argc, char** argv) {
  try {
    quern::Commands commands;
    quern::AddRunCommand(commands);
    quern::AddChatCommand(commands);
    quern::AddInspectCommand(commands);
    quern::AddQuantizeCommand(commands);
    quern::AddSynthCommand(commands);
    quern::AddBatchCommand(commands);
    quern::AddServeCommand(commands);
    quern::AddBenchCommand(commands);
    quern::AddLogitsCommand(commands);
    quern::AddVerifyCommand(commands);
    quern::AddPerplexityCommand(commands);
    quern::AddTokenizeCommand(commands);
    quern::AddDetokenizeCommand(commands);
    return commands.Run(argc, argv);
  } catch (const std::exception& error) {  // out of memory, or a library that throws
    fmt::print(stderr, "error: {}\n", error.what());
    return 1;
  }
}
