// `quern bench`: its rows, not their numbers.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "tests/testing/run_command.h"
#include "tests/testing/tiny_model.h"

namespace quern {
namespace {

using ::testing::HasSubstr;
using testing::Outcome;
using testing::RunCommand;

TEST(Bench, MeasuresARowForEachCase) {
  const testing::TinyModel model{SyntheticModel{}};
  const std::vector<std::string> arguments = {"bench", "-p", "4,8", "-n", "2", "-d",
                                              "0,16",  "-r", "2",   "-t", "1", model.path()};
  std::vector<std::string> as_json = arguments;
  as_json.insert(as_json.end(), {"-o", "json"});
  const Outcome json = RunCommand(as_json);
  ASSERT_EQ(json.exit_code, 0) << json.err;
  std::vector<std::string> tests;
  for (const auto& row : nlohmann::json::parse(json.out)) {
    tests.push_back(row["test"]);
    EXPECT_EQ(row["tokens_per_second"].size(), 2U);
    EXPECT_GT(row["median_tokens_per_second"], 0);
    EXPECT_EQ(row["threads"], 1);
  }
  EXPECT_THAT(tests,
              ::testing::ElementsAre("pp4", "pp8", "tg2", "pp4 @ d16", "pp8 @ d16", "tg2 @ d16"));
  const Outcome table = RunCommand(arguments);
  EXPECT_THAT(table.out, HasSubstr(" tg2 @ d16 | "));
}

TEST(Bench, NothingToMeasureIsAnError) {
  const Outcome outcome = RunCommand({"bench", "-p", "0", "-n", "0"});
  EXPECT_EQ(outcome.exit_code, 1);
  EXPECT_EQ(outcome.err, "error: nothing to measure: -p and -n are 0\n");
}

}  // namespace
}  // namespace quern
