#include "tools/options/generation_options.h"

#include <gtest/gtest.h>

#include <vector>

#include "tools/cli/commands.h"

namespace quern {
namespace {

TEST(GenerationOptions, BadValuesAreUsageErrors) {
  const std::vector<std::vector<const char*>> usages = {
      {"-n", "0"}, {"-n", "-2"},  {"-c", "18446744073709551615"},
      {"-t", "0"}, {"-t", "-1"},  {"-t", "2000"},
      {"-b", "0"}, {"-ctk", "q8"}};
  for (const auto& usage : usages) {
    Commands commands;
    GenerationOptions options;
    options.AddTo(commands.Add("run", "Runs", [] { return 0; }));
    std::vector<const char*> arguments = {"quern", "run"};
    arguments.insert(arguments.end(), usage.begin(), usage.end());
    ::testing::internal::CaptureStderr();
    EXPECT_EQ(commands.Run(static_cast<int>(arguments.size()), arguments.data()), 1);
    const std::string message = ::testing::internal::GetCapturedStderr();
    EXPECT_TRUE(message.starts_with("error: --")) << message;
    EXPECT_TRUE(message.ends_with("(see quern run --help)\n")) << message;
  }
}

}  // namespace
}  // namespace quern
