// `quern tune`: what it measures and writes, not the numbers.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "runtime/machine/cpu_limits.h"
#include "tests/testing/local_hub.h"
#include "tests/testing/read_file.h"
#include "tests/testing/run_command.h"
#include "tests/testing/temp_dir.h"
#include "tests/testing/tiny_model.h"
#include "tests/testing/write_file.h"

namespace quern {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::Outcome;
using testing::RunCommand;
using ::testing::StartsWith;

Outcome Tune(std::vector<std::string> arguments) {
  arguments.insert(arguments.begin(), "tune");
  return RunCommand(arguments);
}

TEST(Tune, MeasuresThreadsThenBatchSizesThenAnswersTogether) {
  const testing::TinyModel model{SyntheticModel{}};
  const Outcome outcome = Tune({"-t", "1,2,1", "-b", "16,8", "-np", "3,1", "-r", "2", "--seconds",
                                "60", "--json", model.path()});
  ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
  EXPECT_EQ(outcome.err, "") << "no terminal";
  const auto json = nlohmann::json::parse(outcome.out);
  std::vector<std::string> rows;
  for (const auto& row : json["rows"]) {
    rows.push_back(row["test"]);
    EXPECT_EQ(row["tokens_per_second"].size(), 2U);
    EXPECT_GT(row["median_tokens_per_second"], 0);
  }
  EXPECT_THAT(rows,
              ElementsAre("pp256", "pp256", "tg32", "tg32", "pp8", "pp16", "tg32", "tg32 x 3"));
  EXPECT_EQ(json["rows"][0]["threads"], 2);
  EXPECT_EQ(json["rows"][1]["threads"], 1);
  const int threads = json["best"]["threads"];
  EXPECT_EQ(json["rows"][4]["threads"], threads);
  EXPECT_EQ(json["threads"].size(), 2U);
  EXPECT_EQ(json["command"], "quern serve " + model.path() + " -t " + std::to_string(threads) +
                                 " --batch-size " +
                                 std::to_string(json["best"]["batch_size"].get<int>()));
}

TEST(Tune, TriesTheThreadsOfThisMachineUnasked) {
  const testing::TinyModel model{SyntheticModel{}};
  const Outcome outcome = Tune({"-b", "8", "-r", "1", "--json", model.path()});
  ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
  const auto json = nlohmann::json::parse(outcome.out);
  EXPECT_EQ(json["rows"][0]["threads"], AvailableThreads());
}

TEST(Tune, PrintsATableAndTheCommandLine) {
  const testing::TinyModel model{SyntheticModel{}};
  const Outcome outcome =
      Tune({"-t", "1", "-b", "8", "-r", "3", "-ctk", "q8_0", "--load", "mmap", model.path()});
  ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
  EXPECT_THAT(outcome.out, StartsWith("  test "));
  EXPECT_THAT(outcome.out, HasSubstr("\n  decode of 32 by 16 "));
  EXPECT_THAT(outcome.out, HasSubstr("\n  threads      1   the only one measured\n"));
  EXPECT_THAT(outcome.out, HasSubstr("\n  quern serve " + model.path() +
                                     " -t 1 --batch-size 8 --load mmap --cache-type-k q8_0\n"));
}

TEST(Tune, WritesTheSettingsOfTheModel) {
  const testing::TinyModel model{SyntheticModel{}};
  const testing::TempDir folder;
  const std::string config = folder.File("quern.toml");
  const std::string head = "# ours\n[models.tiny]\npath = \"" + model.path() + "\"\n";
  testing::WriteFile(config, head + "threads = 99\n");
  const std::vector<std::string> arguments = {"-t", "1",       "-b",   "8",         "-r",
                                              "1",  "--write", config, model.path()};
  const Outcome outcome = Tune(arguments);
  ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
  EXPECT_THAT(outcome.out, HasSubstr("\nWritten to " + config + ", its section tiny.\n"));
  EXPECT_EQ(testing::ReadFile(config), head + "threads = 1\nbatch_size = 8\n");

  const std::string made = folder.File("new.toml");
  EXPECT_EQ(Tune({"-t", "1", "-b", "8", "-r", "1", "--json", "--write", made, "--model-name", "it",
                  model.path()})
                .exit_code,
            0);
  EXPECT_EQ(testing::ReadFile(made),
            "[models.it]\npath = \"" + model.path() + "\"\nthreads = 1\nbatch_size = 8\n");
}

TEST(Tune, AModelOfAHubIsNamedByIt) {
  const testing::TinyModel model{SyntheticModel{}};
  testing::LocalHub hub;
  hub.Add("tiny-Q8_0.gguf", testing::ReadFile(model.path()));
  const testing::TempDir folder;
  const std::string config = folder.File("quern.toml");
  std::vector<std::string> arguments = {"-t",
                                        "1",
                                        "-b",
                                        "8",
                                        "-r",
                                        "1",
                                        "-hf",
                                        "org/repo:Q8_0",
                                        "--write",
                                        config,
                                        "--cache-dir",
                                        folder.path(),
                                        "--hf-endpoint",
                                        hub.endpoint()};
  const Outcome outcome = Tune(arguments);
  ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
  EXPECT_THAT(outcome.out, HasSubstr("\n  quern serve -hf org/repo:Q8_0 -t 1 --batch-size 8\n"));
  EXPECT_EQ(testing::ReadFile(config),
            "[models.repo]\nhub = \"org/repo:Q8_0\"\nthreads = 1\nbatch_size = 8\n");

  // With --hf-file the name alone would not find it.
  arguments.insert(arguments.end(), {"-hff", "tiny-Q8_0.gguf", "--model-name", "file"});
  const Outcome by_file = Tune(arguments);
  EXPECT_THAT(by_file.out, HasSubstr("\n  quern serve " + folder.path() + "/"));
  EXPECT_THAT(testing::ReadFile(config), HasSubstr("\n[models.file]\npath = \"models/"));
}

TEST(Tune, AConfigurationThatIsNoneIsLeftAlone) {
  const testing::TinyModel model{SyntheticModel{}};
  const testing::TempDir folder;
  const std::string config = folder.File("quern.toml");
  const std::string text = "[models.tiny]\npath = \"" + model.path() + "\"\nthreads = \"all\"\n";
  testing::WriteFile(config, text);
  const Outcome outcome = Tune({"--write", config, model.path()});
  EXPECT_EQ(outcome.exit_code, 1);
  EXPECT_EQ(outcome.out, "") << "said before it measures";
  EXPECT_EQ(outcome.err, "error: " + config +
                             ": line 3, column 11: 'threads' is of type string, expected a whole "
                             "number\n");
  EXPECT_EQ(testing::ReadFile(config), text);
}

TEST(Tune, BadArgumentsAreErrors) {
  const auto error_of = [](const std::vector<std::string>& arguments) {
    const Outcome outcome = Tune(arguments);
    EXPECT_NE(outcome.exit_code, 0);
    EXPECT_EQ(outcome.out, "");
    return outcome.err;
  };
  EXPECT_EQ(error_of({"--write", "quern.toml"}),
            "error: --write: the built-in demo model is in no configuration, expected a MODEL\n");
  EXPECT_EQ(error_of({"--model-name", "x"}),
            "error: --model-name names a section for --write, which is missing\n");
  EXPECT_EQ(error_of({"--write", "-"}), "error: --write -: expected the path of a file\n");
  EXPECT_THAT(error_of({"-t", "0"}), HasSubstr("--threads"));
  EXPECT_THAT(error_of({"-b", "8,x"}), HasSubstr("--batch-size"));
  EXPECT_THAT(error_of({"--seconds", "-1"}), HasSubstr("--seconds"));
  EXPECT_THAT(error_of({"no-such.gguf"}), HasSubstr("no-such.gguf"));
}

}  // namespace
}  // namespace quern
