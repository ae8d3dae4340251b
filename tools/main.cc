// Entry of the `quern` executable: parses the command line and runs one subcommand.
#include <CLI/CLI.hpp>

int main(int argc, char** argv) {
  CLI::App app{"Quern: runs GGUF language models on CPUs", "quern"};
  app.require_subcommand(1);
  CLI11_PARSE(app, argc, argv);
  return 0;
}
