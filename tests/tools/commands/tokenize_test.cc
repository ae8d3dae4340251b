// `quern tokenize` and `quern detokenize` with the built-in demo model.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "tests/testing/run_command.h"

namespace quern {
namespace {

using ::testing::HasSubstr;
using testing::Outcome;
using testing::RunCommand;

TEST(Tokenize, DetokenizeGivesTheTextBack) {
  const std::string text = "What does bread mean?\n";
  const Outcome ids = RunCommand({"tokenize", "--ids", "--no-bos"}, text);
  ASSERT_EQ(ids.exit_code, 0) << ids.err;
  EXPECT_EQ(RunCommand({"detokenize"}, ids.out).out, text) << "to the byte, into a pipe";

  const Outcome json = RunCommand({"tokenize", "--json", "--no-bos", "-p", text});
  ASSERT_EQ(json.exit_code, 0) << json.err;
  std::string pieces;
  std::vector<std::string> arguments = {"detokenize", "--json"};
  const auto parsed = nlohmann::json::parse(json.out);
  for (const auto& token : parsed["tokens"]) {
    pieces += token["piece"].get<std::string>();
    arguments.push_back(token["id"].dump());
  }
  EXPECT_EQ(pieces, text);
  const auto decoded = nlohmann::json::parse(RunCommand(arguments).out);
  EXPECT_EQ(decoded["text"], text);
  EXPECT_EQ(decoded["count"], arguments.size() - 2);
  EXPECT_EQ(RunCommand({"tokenize", "--count", "--no-bos", "-p", text}).out,
            std::to_string(arguments.size() - 2) + "\n");
}

TEST(Tokenize, PiecesAreOneALine) {
  const Outcome outcome = RunCommand({"tokenize", "--no-bos", "-p", "bread"});
  ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
  EXPECT_THAT(outcome.out, ::testing::EndsWith("'\n"));
  EXPECT_THAT(outcome.out, HasSubstr("  '"));
}

TEST(Tokenize, BadIdsAreOneLineOfError) {
  EXPECT_THAT(RunCommand({"detokenize", "99999999"}).err,
              ::testing::MatchesRegex("error: token 99999999; ids are 0 to [0-9]+\n"));
  EXPECT_EQ(RunCommand({"detokenize"}, "1 x").err, "error: 'x' is not a token id\n");
  EXPECT_EQ(RunCommand({"detokenize", "none.gguf", "1"}).err,
            "error: none.gguf: cannot open: No such file or directory\n");
}

}  // namespace
}  // namespace quern
