// `quern bench`: its rows, not their numbers.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include "tests/testing/read_file.h"
#include "tests/testing/run_command.h"
#include "tests/testing/temp_dir.h"
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

TEST(Bench, SequencesGenerateTogether) {
  const testing::TinyModel model{SyntheticModel{}};
  const Outcome json = RunCommand({"bench", "-p", "0", "-n", "3", "-d", "16", "-b", "1,4", "-r",
                                   "1", "-o", "json", model.path()});
  ASSERT_EQ(json.exit_code, 0) << json.err;
  const auto rows = nlohmann::json::parse(json.out);
  ASSERT_EQ(rows.size(), 2U);
  EXPECT_EQ(rows[1]["test"], "tg3 x 4 @ d16");
  EXPECT_EQ(rows[1]["sequences"], 4);
  EXPECT_GT(rows[1]["limit_tokens_per_second"], 0);
}

TEST(Bench, ShowsWhereTheTimeGoes) {
  const testing::TinyModel model{SyntheticModel{}};
  const testing::TempDir folder;
  const std::string path = folder.File("trace.json");
  const std::vector<std::string> arguments = {"bench",   "-p", "4",         "-n", "2",
                                              "-r",      "1",  "-t",        "2",  "--profile",
                                              "--trace", path, model.path()};
  const Outcome table = RunCommand(arguments);
  ASSERT_EQ(table.exit_code, 0) << table.err;
  EXPECT_THAT(table.out, HasSubstr("tg2 with 2 threads, as the first one spends its time:"));
  for (const char* op : {"attn_qkv", "attention", "ffn_down", "wait", "sample"}) {
    EXPECT_THAT(table.out, HasSubstr(std::string("\n  ") + op + " ")) << op;
  }
  const auto trace = nlohmann::json::parse(testing::ReadFile(path));
  std::vector<std::string> processes;
  std::set<int> threads;
  for (const auto& event : trace["traceEvents"]) {
    if (event["ph"] == "M") {
      processes.push_back(event["args"]["name"]);
    } else {
      threads.insert(event["tid"].get<int>());
      EXPECT_GE(event["dur"], 0);
    }
  }
  EXPECT_THAT(processes, ::testing::ElementsAre("pp4, threads 2", "tg2, threads 2"));
  EXPECT_TRUE(threads.contains(0)) << "a second one need not have come";
}

TEST(Bench, TakesTurnsByItsInput) {
  const testing::TinyModel model{SyntheticModel{}};
  const std::vector<std::string> arguments = {"bench", "-p",      "4",         "-n",    "2",
                                              "-r",    "1",       "-o",        "jsonl", "-d",
                                              "0,16",  "--turns", model.path()};
  const Outcome lines = RunCommand(arguments, "3\n0\n3\n");
  ASSERT_EQ(lines.exit_code, 0) << lines.err;
  std::istringstream text(lines.out);
  std::string line;
  ASSERT_TRUE(std::getline(text, line));
  EXPECT_EQ(line, R"({"rows":4})");
  std::vector<std::string> tests;
  while (std::getline(text, line)) tests.push_back(nlohmann::json::parse(line)["test"]);
  EXPECT_THAT(tests, ::testing::ElementsAre("tg2 @ d16", "pp4", "tg2 @ d16"));

  const Outcome outside = RunCommand(arguments, "4\n");
  EXPECT_EQ(outside.exit_code, 1);
  EXPECT_EQ(outside.err, "error: '4' on stdin: expected a row's number, 0 to 3\n");
}

TEST(Bench, TurnsNeedLinesOfJson) {
  const Outcome outcome = RunCommand({"bench", "--turns"});
  EXPECT_EQ(outcome.exit_code, 1);
  EXPECT_EQ(outcome.err, "error: --turns prints lines of JSON: -o jsonl is needed\n");
}

TEST(Bench, AProfileHasNoFormInCsv) {
  const Outcome outcome = RunCommand({"bench", "--profile", "-o", "csv"});
  EXPECT_EQ(outcome.exit_code, 1);
  EXPECT_EQ(outcome.err, "error: --profile has no form in csv: expected md or json\n");
}

TEST(Bench, NothingToMeasureIsAnError) {
  const Outcome outcome = RunCommand({"bench", "-p", "0", "-n", "0"});
  EXPECT_EQ(outcome.exit_code, 1);
  EXPECT_EQ(outcome.err, "error: nothing to measure: -p and -n are 0\n");
}

}  // namespace
}  // namespace quern
