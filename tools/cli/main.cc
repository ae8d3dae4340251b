// Entry of the `quern` executable.
#include <fmt/format.h>

#include <cstdio>
#include <exception>

#include "tools/cli/commands.h"

int main(int argc, char** argv) {
  try {
    quern::Commands commands;
    quern::AddAllCommands(commands);
    return commands.Run(argc, argv);
  } catch (const std::exception& error) {  // out of memory, or a library that throws
    fmt::print(stderr, "error: {}\n", error.what());
    return 1;
  }
}
