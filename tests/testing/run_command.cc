#include "tests/testing/run_command.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdio>
#include <fstream>

#include "tests/testing/temp_dir.h"
#include "tools/cli/commands.h"

namespace quern::testing {

Outcome RunCommand(std::vector<std::string> arguments, const std::string& input) {
  const TempDir folder;
  const std::string input_path = folder.File("stdin");
  std::ofstream(input_path, std::ios::binary) << input;
  EXPECT_NE(std::freopen(input_path.c_str(), "rb", stdin), nullptr);

  arguments.insert(arguments.begin(), "quern");
  std::vector<const char*> argv;
  for (const std::string& argument : arguments) argv.push_back(argument.c_str());
  Commands commands;
  AddAllCommands(commands);
  ::testing::internal::CaptureStdout();
  ::testing::internal::CaptureStderr();
  const int exit_code = commands.Run(static_cast<int>(argv.size()), argv.data());
  return {exit_code, ::testing::internal::GetCapturedStdout(),
          ::testing::internal::GetCapturedStderr()};
}

void ExpectError(const Outcome& outcome, const std::string& message) {
  EXPECT_EQ(outcome.exit_code, 1);
  EXPECT_THAT(outcome.err, ::testing::HasSubstr(message));
  EXPECT_EQ(outcome.out, "");
}

}  // namespace quern::testing
