// The commands logits, verify and perplexity from their command lines to their files and exit
// codes.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "tests/testing/run_command.h"
#include "tests/testing/temp_dir.h"
#include "tests/testing/tiny_model.h"
#include "tools/options/token_list.h"
#include "tools/quality/kld_base_file.h"
#include "tools/quality/npy.h"

namespace quern {
namespace {

using ::testing::HasSubstr;
using ::testing::MatchesRegex;

using testing::Outcome;

class Validation : public ::testing::Test {
 protected:
  static Outcome Run(const std::vector<std::string>& arguments) {
    return testing::RunCommand(arguments);
  }

  void WriteText(const std::string& path, const std::string& text) { std::ofstream(path) << text; }

  static SyntheticModel OtherSeed() {
    SyntheticModel shapes;
    shapes.seed = 2;
    return shapes;
  }

  const testing::TempDir folder_;
  const testing::TinyModel model_{SyntheticModel{}};
};

TEST_F(Validation, LogitsVerifyAgainstThemselves) {
  const std::string npy = folder_.File("logits.npy");
  const Outcome logits =
      Run({"logits", model_.path(), "--tokens", "1,2,3,300", "-o", npy, "-t", "1"});
  ASSERT_EQ(logits.exit_code, 0) << logits.err;
  auto reader = NpyReader::Open(npy);
  ASSERT_TRUE(reader) << reader.error().message;
  EXPECT_EQ(reader->rows(), 4U);
  EXPECT_EQ(reader->cols(), 512U);
  EXPECT_EQ(*ReadTokensFile(npy + ".tokens"), (std::vector<Token>{1, 2, 3, 300}));

  // Another number of threads and chunk size: the same logits, bit for bit.
  const Outcome verify = Run({"verify", model_.path(), "--reference", npy, "--json", "-t", "2",
                              "-b", "3", "--max-kl", "1e-12", "--min-top1", "1"});
  ASSERT_EQ(verify.exit_code, 0) << verify.err;
  const auto json = nlohmann::json::parse(verify.out);
  EXPECT_EQ(json["positions"], 4);
  EXPECT_EQ(json["top1_agreement"], 1.0);
  EXPECT_EQ(json["perplexity_ratio"], 1.0);
  EXPECT_TRUE(json["broken_thresholds"].empty());
}

TEST_F(Validation, BrokenThresholdsFail) {
  const std::string npy = folder_.File("logits.npy");
  const testing::TinyModel other{OtherSeed()};
  ASSERT_EQ(Run({"logits", other.path(), "--tokens", "1,2,3", "-o", npy}).exit_code, 0);
  const Outcome free = Run({"verify", model_.path(), "--reference", npy});
  EXPECT_EQ(free.exit_code, 0) << free.err;
  EXPECT_THAT(free.out, HasSubstr("mean KL"));
  EXPECT_THAT(free.out, HasSubstr("ratio"));
  const Outcome bound = Run(
      {"verify", model_.path(), "--reference", npy, "--max-mean-kl", "0.01", "--min-top1", "0.99"});
  EXPECT_EQ(bound.exit_code, 1);
  EXPECT_THAT(bound.err, MatchesRegex("error: mean KL .*; top-1 agreement .* is below 0.99\n"));
}

TEST_F(Validation, AThresholdThatCannotBeMeasuredIsBroken) {
  const std::string npy = folder_.File("logits.npy");
  ASSERT_EQ(Run({"logits", model_.path(), "--tokens", "1", "-o", npy}).exit_code, 0);
  EXPECT_EQ(Run({"verify", model_.path(), "--reference", npy}).exit_code, 0);
  const Outcome bound =
      Run({"verify", model_.path(), "--reference", npy, "--max-perplexity-ratio", "2"});
  EXPECT_EQ(bound.exit_code, 1);
  EXPECT_THAT(bound.err, HasSubstr("perplexity ratio cannot be measured"));
}

TEST_F(Validation, AFailureLeavesOlderFilesAlone) {
  const std::string npy = folder_.File("logits.npy");
  ASSERT_EQ(Run({"logits", model_.path(), "--tokens", "1,2", "-o", npy}).exit_code, 0);
  EXPECT_EQ(Run({"logits", model_.path(), "--tokens", "1,2,99999", "-o", npy}).exit_code, 1);
  EXPECT_EQ(Run({"verify", model_.path(), "--reference", npy, "--max-kl", "0"}).exit_code, 0);
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder_.path()), {}), 2)
      << "the logits and their tokens";
}

TEST_F(Validation, PerplexityWritesABaseThatVerifies) {
  std::string words;
  for (int i = 0; i < 200; ++i) words += i % 3 == 0 ? "the cat sat " : "on a mat, ";
  WriteText(folder_.File("text"), words);
  const std::string base = folder_.File("base");
  const Outcome perplexity = Run({"perplexity", model_.path(), "-f", folder_.File("text"), "-c",
                                  "64", "--chunks", "2", "--kl-divergence-base", base, "--json"});
  ASSERT_EQ(perplexity.exit_code, 0) << perplexity.err;
  const auto measured = nlohmann::json::parse(perplexity.out);
  EXPECT_EQ(measured["chunks"], 2);
  EXPECT_EQ(measured["scored_tokens"], 2 * 31);

  const Outcome verify = Run({"verify", model_.path(), "--reference", base, "--json"});
  ASSERT_EQ(verify.exit_code, 0) << verify.err;
  const auto json = nlohmann::json::parse(verify.out);
  EXPECT_EQ(json["positions"], 2 * 31);
  EXPECT_EQ(json["perplexity"], measured["perplexity"]);
  // 16-bit log-probabilities are off by 8 / 65535 at most.
  EXPECT_NEAR(json["perplexity_ratio"].get<double>(), 1, 8.0 / 65535);
  EXPECT_LT(json["mean_kl"].get<double>(), 1e-4);
}

TEST_F(Validation, SaysWhatDoesNotFit) {
  const std::string npy = folder_.File("logits.npy");
  ASSERT_EQ(Run({"logits", model_.path(), "--tokens", "1,2,3", "-o", npy}).exit_code, 0);
  const auto verify_error = [&](const std::vector<std::string>& more) {
    std::vector<std::string> arguments = {"verify", model_.path(), "--reference", npy};
    arguments.insert(arguments.end(), more.begin(), more.end());
    const Outcome outcome = Run(arguments);
    EXPECT_EQ(outcome.exit_code, 1);
    return outcome.err;
  };
  EXPECT_THAT(verify_error({"--tokens", "1,2"}), HasSubstr("3 positions, but 2 tokens"));
  EXPECT_THAT(verify_error({"--tokens", "1,x"}), HasSubstr("'x' is not a token id"));
  EXPECT_THAT(verify_error({"--tokens", "1,2,999"}), HasSubstr("outside the vocabulary"));
  std::filesystem::remove(npy + ".tokens");
  EXPECT_THAT(verify_error({}), HasSubstr("--tokens-file"));

  auto writer = NpyWriter::Create(npy, 1, 7);
  ASSERT_TRUE(writer);
  ASSERT_TRUE(writer->Write(std::vector<float>(7)));
  ASSERT_TRUE(writer->Finish());
  EXPECT_THAT(verify_error({"--tokens", "1"}),
              HasSubstr("a vocabulary of 7, expected the model's 512"));

  WriteText(folder_.File("text"), "short");
  const Outcome too_short = Run({"perplexity", model_.path(), "-f", folder_.File("text")});
  EXPECT_EQ(too_short.exit_code, 1);
  EXPECT_THAT(too_short.err, HasSubstr("expected at least one chunk of 512"));
  EXPECT_EQ(Run({"logits", model_.path(), "-o", npy}).exit_code, 1);
}

}  // namespace
}  // namespace quern
