#include "tools/cli/commands.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdio>
#include <functional>
#include <iostream>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "kernels/targets.h"
#include "tests/testing/variable.h"

namespace quern {
namespace {

using ::testing::HasSubstr;
using ::testing::internal::CaptureStderr;
using ::testing::internal::CaptureStdout;
using ::testing::internal::GetCapturedStderr;
using ::testing::internal::GetCapturedStdout;

/// A command line with one command, `echo --number N`, that ends as `body` says.
int RunEcho(std::vector<const char*> arguments, const std::function<Result<int>(int)>& body) {
  Commands commands;
  auto number = std::make_shared<int>(0);
  CLI::App* echo = commands.Add("echo", "Gives a number back", [=] { return body(*number); });
  echo->add_option("--number", *number, "The number")->required();
  arguments.insert(arguments.begin(), "quern");
  return commands.Run(static_cast<int>(arguments.size()), arguments.data());
}

TEST(Commands, ExitCodeIsTheBodys) {
  EXPECT_EQ(RunEcho({"echo", "--number", "7"}, [](int number) { return number; }), 7);
}

TEST(Commands, AnErrorIsOneLineOnStderr) {
  CaptureStderr();
  EXPECT_EQ(RunEcho({"echo", "--number", "7"},
                    [](int number) -> Result<int> {
                      return Fail(ErrorCode::kNotFound, "nothing\nat {}", number);
                    }),
            1);
  EXPECT_EQ(GetCapturedStderr(), "error: nothing at 7\n");
}

TEST(Commands, TheEnvironmentForcesATarget) {
  const auto chosen = [](std::string* target) {
    return [target](int /*number*/) -> Result<int> {
      *target = ChosenTarget();
      return 0;
    };
  };
  std::string target;
  {
    const testing::Variable known("QUERN_TARGET", SupportedTargets().back());
    EXPECT_EQ(RunEcho({"echo", "--number", "7"}, chosen(&target)), 0);
  }
  EXPECT_EQ(target, SupportedTargets().back());
  ChooseBestTarget();

  target.clear();
  const testing::Variable unknown("QUERN_TARGET", "MMX");
  CaptureStderr();
  EXPECT_EQ(RunEcho({"echo", "--number", "7"}, chosen(&target)), 1);
  EXPECT_THAT(GetCapturedStderr(), HasSubstr("error: QUERN_TARGET: no SIMD target 'MMX'"));
  EXPECT_EQ(target, "");
}

TEST(Commands, LostOutputIsAnError) {
  // What a command prints, and what the parser prints by itself.
  const std::vector<std::pair<std::vector<const char*>, std::function<Result<int>(int)>>> prints = {
      {{"echo", "--number", "7"},
       [](int number) {
         fmt::print("{}\n", number);
         return number;
       }},
      {{"--help"}, [](int number) { return number; }}};
  for (const auto& [arguments, body] : prints) {
    std::fflush(stdout);
    const int saved = dup(STDOUT_FILENO);
    const int full = open("/dev/full", O_WRONLY);
    ASSERT_GE(dup2(full, STDOUT_FILENO), 0);
    CaptureStderr();
    const int exit_code = RunEcho(arguments, body);
    dup2(saved, STDOUT_FILENO);
    close(saved);
    close(full);
    std::clearerr(stdout);
    std::cout.clear();
    EXPECT_EQ(exit_code, 1);
    EXPECT_EQ(GetCapturedStderr(), "error: stdout takes no more output\n");
  }
}

TEST(Commands, UsageErrorsAreOneLineAndNameTheHelp) {
  const std::vector<std::vector<const char*>> usages = {
      {"echo", "--number", "seven"}, {"echo"}, {"echo", "--number", "1", "--what"}};
  for (const auto& usage : usages) {
    CaptureStderr();
    EXPECT_EQ(RunEcho(usage, [](int number) { return number; }), 1);
    const std::string message = GetCapturedStderr();
    EXPECT_TRUE(message.starts_with("error: ")) << message;
    EXPECT_THAT(message, HasSubstr("(see quern echo --help)"));
    EXPECT_EQ(message.find('\n'), message.size() - 1) << message;
  }
}

TEST(Commands, AnOptionTakesOneValueAndLeavesTheRest) {
  Commands commands;
  std::vector<std::string> stop;
  std::vector<int> threads;
  std::string model;
  CLI::App* command = commands.Add("run", "Runs", [] { return 0; });
  command->add_option("--stop", stop, "Texts");
  command->add_option("-t", threads, "Numbers")->delimiter(',');
  command->add_option("MODEL", model, "File");
  const std::vector<const char*> arguments = {"quern", "run", "--stop", "[a,b]", "--stop",
                                              "END",   "-t",  "1,2",    "m.gguf"};
  ASSERT_EQ(commands.Run(static_cast<int>(arguments.size()), arguments.data()), 0);
  EXPECT_EQ(model, "m.gguf");
  EXPECT_EQ(stop, (std::vector<std::string>{"[a,b]", "END"}));
  EXPECT_EQ(threads, (std::vector<int>{1, 2}));
}

TEST(Commands, WithoutACommandTheErrorNamesTheGeneralHelp) {
  CaptureStderr();
  EXPECT_EQ(RunEcho({}, [](int number) { return number; }), 1);
  EXPECT_THAT(GetCapturedStderr(), HasSubstr("(see quern --help)"));
}

TEST(Commands, AnUnknownCommandIsNamed) {
  CaptureStderr();
  EXPECT_EQ(RunEcho({"ecko"}, [](int number) { return number; }), 1);
  EXPECT_EQ(GetCapturedStderr(), "error: no command 'ecko' (see quern --help)\n");
}

TEST(Commands, AnUnknownCommandOfAGroupIsNamed) {
  Commands commands;
  CLI::App* group = commands.AddGroup("key", "Keys");
  commands.Add(
      "new", "Makes one", [] { return 0; }, group);
  const auto error_of = [&](std::vector<const char*> arguments) {
    CaptureStderr();
    EXPECT_EQ(commands.Run(static_cast<int>(arguments.size()), arguments.data()), 1);
    return GetCapturedStderr();
  };
  EXPECT_EQ(error_of({"quern", "key", "nwe"}), "error: no command 'nwe' (see quern key --help)\n");
  EXPECT_THAT(error_of({"quern", "key"}), HasSubstr("required (see quern key --help)"));
  EXPECT_THAT(error_of({"quern", "key", "new", "x"}), HasSubstr("(see quern key new --help)"));
}

TEST(Commands, AnOptionShowsTheWordOfItsValue) {
  Commands commands;
  std::string path;
  CLI::App* read = commands.Add("read", "Reads", [] { return 0; });
  read->add_option("MODEL,-m,--model", path, "A file")->type_name("MODEL");
  CaptureStdout();
  const std::vector<const char*> arguments = {"quern", "read", "--help"};
  EXPECT_EQ(commands.Run(static_cast<int>(arguments.size()), arguments.data()), 0);
  const std::string help = GetCapturedStdout();
  EXPECT_THAT(help, HasSubstr("\n  MODEL   "));
  EXPECT_THAT(help, HasSubstr("\n  -m,--model MODEL   "));
}

TEST(Commands, HelpAndVersionGoToStdout) {
  CaptureStdout();
  EXPECT_EQ(RunEcho({"--help"}, [](int number) { return number; }), 0);
  EXPECT_THAT(GetCapturedStdout(), HasSubstr("Gives a number back"));
  CaptureStdout();
  EXPECT_EQ(RunEcho({"echo", "--help"}, [](int number) { return number; }), 0);
  EXPECT_THAT(GetCapturedStdout(),
              ::testing::ContainsRegex("--number N +The number \\(required\\)\n"));
  CaptureStdout();
  EXPECT_EQ(RunEcho({"--version"}, [](int number) { return number; }), 0);
  EXPECT_TRUE(GetCapturedStdout().starts_with("quern "));
}

}  // namespace
}  // namespace quern
