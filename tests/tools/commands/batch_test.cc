// `quern batch` with the built-in demo model.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <sstream>

#include "tests/testing/run_command.h"

namespace quern {
namespace {

using testing::Outcome;
using testing::RunCommand;

TEST(Batch, AnswersEachLineAsItIsAnsweredAlone) {
  std::string input;
  const std::vector<std::string> prompts = {
      "What is 2+2? Answer:", "What is 1+4? Answer:", "What is 3+6? Answer:"};
  for (const std::string& prompt : prompts) {
    input += nlohmann::json{{"prompt", prompt}}.dump() + "\n\n";  // blank lines are passed over
  }
  const Outcome batch = RunCommand({"batch", "-f", "-", "--temp", "0", "-np", "2"}, input);
  ASSERT_EQ(batch.exit_code, 0) << batch.err;
  std::istringstream lines(batch.out);
  std::string line;
  for (size_t i = 0; i < prompts.size(); ++i) {
    ASSERT_TRUE(std::getline(lines, line));
    const auto json = nlohmann::json::parse(line);
    EXPECT_EQ(json["index"], i);
    EXPECT_EQ(json["text"].get<std::string>() + "\n",
              RunCommand({"run", "--temp", "0", "-p", prompts[i]}).out);
  }
  EXPECT_FALSE(std::getline(lines, line));
}

TEST(Batch, ABadLineFailsAlone) {
  const Outcome batch = RunCommand({"batch", "-f", "-", "-n", "1"},
                                   "no json\n{\"messages\":[{\"role\":\"user\",\"content\":"
                                   "\"What does bread mean?\"}]}\n{\"prompt\":5}\n");
  EXPECT_EQ(batch.exit_code, 1);
  std::istringstream lines(batch.out);
  std::string line;
  const std::vector<const char*> keys = {"error", "text", "error"};
  for (const char* key : keys) {
    ASSERT_TRUE(std::getline(lines, line));
    EXPECT_TRUE(nlohmann::json::parse(line).contains(key)) << line;
  }
}

TEST(Batch, BlankLinesAloneGiveNothing) {
  const Outcome batch = RunCommand({"batch", "-f", "-"}, "\n \n");
  EXPECT_EQ(batch.exit_code, 0) << batch.err;
  EXPECT_EQ(batch.out, "");
}

}  // namespace
}  // namespace quern
