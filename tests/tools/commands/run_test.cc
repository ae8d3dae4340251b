// `quern run` with the built-in demo model.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "tests/testing/run_command.h"
#include "tests/testing/temp_dir.h"

namespace quern {
namespace {

using testing::Outcome;
using testing::RunCommand;
using ::testing::StartsWith;

TEST(Run, AnswersAPromptFromEachPlace) {
  const testing::TempDir folder;
  std::ofstream(folder.File("prompt")) << "What is 2+2? Answer:\n";
  const Outcome option = RunCommand({"run", "--temp", "0", "-p", "What is 2+2? Answer:"});
  EXPECT_EQ(option.exit_code, 0) << option.err;
  EXPECT_THAT(option.out, StartsWith(" 4"));
  EXPECT_EQ(RunCommand({"run", "--temp", "0", "-f", folder.File("prompt")}).out, option.out)
      << "without the file's last line end";
  EXPECT_EQ(RunCommand({"run", "--temp", "0"}, "What is 2+2? Answer:\n").out, option.out);
}

TEST(Run, JsonHasTokensAndTheirProbabilities) {
  const Outcome outcome = RunCommand({"run", "--temp", "0", "-n", "3", "--ignore-eos", "--n-probs",
                                      "2", "--json", "-p", "What is 2+2? Answer:"});
  ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
  const auto json = nlohmann::json::parse(outcome.out);
  EXPECT_EQ(json["generated_tokens"], 3);
  EXPECT_EQ(json["finish_reason"], "length");
  ASSERT_EQ(json["tokens"].size(), 3U);
  ASSERT_EQ(json["tokens"][0]["top"].size(), 2U);
  EXPECT_EQ(json["tokens"][0]["top"][0]["id"], json["tokens"][0]["id"]) << "greedy takes the best";
}

TEST(Run, StopTextEndsTheAnswerAndTheModelStaysTheModel) {
  const std::vector<std::string> prompt = {"run", "--temp", "0", "-p", "What is 2+2? Answer:"};
  std::vector<std::string> arguments = prompt;
  arguments.insert(arguments.end(), {"--stop", "4"});
  EXPECT_EQ(RunCommand(arguments).out, " \n");
  arguments.emplace_back("no-such-file.gguf");
  const Outcome missing = RunCommand(arguments);
  EXPECT_EQ(missing.exit_code, 1);
  EXPECT_EQ(missing.err, "error: no-such-file.gguf: cannot open: No such file or directory\n");
}

TEST(Run, TheSameSeedGivesTheSameText) {
  const std::vector<std::string> arguments = {
      "run", "-p", "A word is", "--temp", "2", "--seed", "7", "-n", "20", "--ignore-eos"};
  const Outcome first = RunCommand(arguments);
  EXPECT_EQ(first.exit_code, 0) << first.err;
  EXPECT_EQ(RunCommand(arguments).out, first.out);
}

}  // namespace
}  // namespace quern
