#include "tools/cli/commands.h"

#include <fmt/format.h>

#include <array>
#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <memory>
#include <string_view>
#include <utility>
#include <vector>

#include "kernels/targets.h"
#include "tools/cli/help_formatter.h"

namespace quern {
namespace {

constexpr int kFailure = 1;

/// llama.cpp's names of several letters behind one dash, which CLI11 would take for several options
/// of one letter.
struct ShortName {
  std::string_view name;
  const char* long_name;
};
constexpr std::array<ShortName, 12> kShortNames = {{{"-sys", "--system-prompt"},
                                                    {"-st", "--single-turn"},
                                                    {"-ctk", "--cache-type-k"},
                                                    {"-ctv", "--cache-type-v"},
                                                    {"-np", "--parallel"},
                                                    {"-cb", "--cont-batching"},
                                                    {"-ub", "--ubatch-size"},
                                                    {"-to", "--timeout"},
                                                    {"-hf", "--hf-repo"},
                                                    {"-hfr", "--hf-repo"},
                                                    {"-hff", "--hf-file"},
                                                    {"-hft", "--hf-token"}}};

/// Prints the one line that every failure of the program ends with.
int Fail(std::string message) {
  while (!message.empty() && message.back() == '\n') message.pop_back();
  for (char& c : message) {
    if (c == '\n') c = ' ';
  }
  fmt::print(stderr, "error: {}\n", message);
  return kFailure;
}

/// An option that may be given again takes one value at a time: CLI11 would let it swallow the
/// MODEL that follows, and read "[a,b]" as a list.
void TakeOneValueAtATime(CLI::App& command) {
  for (CLI::Option* option : command.get_options()) {
    if (!option->get_positional()) option->allow_extra_args(false);
  }
  for (CLI::App* each : command.get_subcommands({})) TakeOneValueAtATime(*each);
}

/// Throws the error of a variable with a bad value, which newer versions of CLI11 pass over.
void CheckVariables(CLI::App& command) {
  for (CLI::Option* option : command.get_options()) {
    const std::string variable = option->get_envname();
    if (variable.empty() || option->count() > 0) continue;
    const char* value = std::getenv(variable.c_str());
    if (value == nullptr || *value == '\0') continue;
    option->add_result(value);
    option->run_callback();
  }
  for (CLI::App* each : command.get_subcommands()) CheckVariables(*each);
}

/// The exit code of a command that is done, unless its output was lost.
int AfterOutput(int exit_code) {
  std::cout.flush();
  if (std::fflush(stdout) == 0 && std::ferror(stdout) == 0) return exit_code;
  return Fail("stdout takes no more output");
}

/// The words "quern key new" for the command that was being parsed, as far as it was named.
std::vector<const CLI::App*> Parsed(const CLI::App& app) {
  std::vector<const CLI::App*> words = {&app};
  while (!words.back()->get_subcommands().empty()) {
    words.push_back(words.back()->get_subcommands().front());
  }
  return words;
}

std::string NameOf(const std::vector<const CLI::App*>& words) {
  std::string name;
  for (const CLI::App* word : words) name += (name.empty() ? "" : " ") + word->get_name();
  return name;
}

}  // namespace

Commands::Commands() : app_("Quern runs GGUF language models on CPUs.", "quern") {
  app_.formatter(std::make_shared<HelpFormatter>());
  app_.require_subcommand(1);
  app_.set_version_flag("--version", "quern " QUERN_VERSION, "Print the version and exit");
  app_.set_help_flag("-h,--help", "Print this help and exit");
}

CLI::App* Commands::Add(const std::string& name, const std::string& description, CommandBody body,
                        CLI::App* group) {
  CLI::App* command = (group != nullptr ? group : &app_)->add_subcommand(name, description);
  bodies_.emplace(command, std::move(body));
  return command;
}

CLI::App* Commands::AddGroup(const std::string& name, const std::string& description) {
  return app_.add_subcommand(name, description)->require_subcommand(1);
}

int Commands::Run(int argc, const char* const* argv) {
  std::vector<const char*> arguments(argv, argv + argc);
  for (const char*& argument : arguments) {
    for (const ShortName& known : kShortNames) {
      if (argument == known.name) argument = known.long_name;
    }
  }
  TakeOneValueAtATime(app_);
  try {
    app_.parse(argc, arguments.data());
    CheckVariables(app_);
  } catch (const CLI::Success& request) {  // --help and --version
    return AfterOutput(app_.exit(request));
  } catch (const CLI::ParseError& error) {
    const std::vector<const CLI::App*> words = Parsed(app_);
    const std::string name = NameOf(words);
    const size_t next = words.size();
    // CLI11 reports a missing command where an unknown one was given.
    if (!words.back()->get_subcommands({}).empty() && next < arguments.size() &&
        arguments[next][0] != '-') {
      return Fail(fmt::format("no command '{}' (see {} --help)", arguments[next], name));
    }
    return Fail(fmt::format("{} (see {} --help)", error.what(), name));
  }
  if (const Status status = ForceTargetOfEnvironment(); !status) {
    return Fail(status.error().message);
  }
  Result<int> result = bodies_.at(Parsed(app_).back())();
  return result ? AfterOutput(*result) : Fail(result.error().message);
}

std::vector<std::string> ShortNamesOf(std::string_view long_name) {
  std::vector<std::string> names;
  for (const ShortName& known : kShortNames) {
    if (known.long_name == long_name) names.emplace_back(known.name);
  }
  return names;
}

void AddAllCommands(Commands& commands) {
  AddRunCommand(commands);
  AddChatCommand(commands);
  AddServeCommand(commands);
  AddInstallServiceCommand(commands);
  AddServiceFilesCommand(commands);
  AddCertCommand(commands);
  AddKeyCommands(commands);
  AddPullCommand(commands);
  AddListCommand(commands);
  AddRemoveCommand(commands);
  AddBatchCommand(commands);
  AddInspectCommand(commands);
  AddQuantizeCommand(commands);
  AddBenchCommand(commands);
  AddTuneCommand(commands);
  AddTokenizeCommand(commands);
  AddDetokenizeCommand(commands);
  AddPerplexityCommand(commands);
  AddLogitsCommand(commands);
  AddVerifyCommand(commands);
  AddSynthCommand(commands);
  AddCompletionCommand(commands);
  AddManCommand(commands);
}

}  // namespace quern
