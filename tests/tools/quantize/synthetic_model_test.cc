#include "tools/quantize/synthetic_model.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <map>
#include <string>

#include "tests/peer/peer.h"
#include "tests/testing/read_file.h"
#include "tests/testing/temp_dir.h"

namespace quern {
namespace {

uint64_t BytesOf(const std::vector<SyntheticTensor>& tensors) {
  uint64_t total = 0;
  for (const SyntheticTensor& tensor : tensors) {
    const uint64_t n_rows = tensor.shape.size() > 1 ? tensor.shape[1] : 1;
    total += RowBytes(tensor.type, tensor.shape[0]) * n_rows;
  }
  return total;
}

std::map<GgmlType, int> CountTypes(const std::vector<SyntheticTensor>& tensors) {
  std::map<GgmlType, int> counts;
  for (const SyntheticTensor& tensor : tensors) ++counts[tensor.type];
  return counts;
}

// The counts that the releases' own listings give: Q4_K_M of Llama-3.1-8B and Llama-3.2-1B.
TEST(SyntheticModel, HasTheTensorsOfTheReleases) {
  const auto tensors8 = SyntheticTensorsOf(*SyntheticModel::Preset("llama-3.1-8b")).value();
  EXPECT_EQ(tensors8.size(), 292U);
  EXPECT_EQ(CountTypes(tensors8),
            (std::map<GgmlType, int>{
                {GgmlType::kF32, 66}, {GgmlType::kQ4_K, 193}, {GgmlType::kQ6_K, 33}}));
  const auto tensors1 = SyntheticTensorsOf(*SyntheticModel::Preset("llama-3.2-1b")).value();
  EXPECT_EQ(tensors1.size(), 147U);
  EXPECT_EQ(CountTypes(tensors1),
            (std::map<GgmlType, int>{
                {GgmlType::kF32, 34}, {GgmlType::kQ4_K, 96}, {GgmlType::kQ6_K, 17}}));
  // The 8B release takes 4,920,734,112 bytes, of which metadata, mostly the vocabulary, is 7.8 MB.
  EXPECT_NEAR(4920734112.0 - static_cast<double>(BytesOf(tensors8)), 7.83e6, 2e4);
  EXPECT_FALSE(SyntheticModel::Preset("llama-4"));
}

// The published numbers of parameters, and the rope factors that the files hold beside them.
TEST(SyntheticModel, HasTheParametersOfTheReleases) {
  const auto parameters = [](std::string_view preset) {
    uint64_t total = 0;
    const auto tensors = SyntheticTensorsOf(*SyntheticModel::Preset(preset)).value();
    for (const SyntheticTensor& tensor : tensors) {
      total += tensor.shape[0] * (tensor.shape.size() > 1 ? tensor.shape[1] : 1);
    }
    return total;
  };
  EXPECT_EQ(parameters("llama-3.1-8b"), 8030261248U + 64);
  EXPECT_EQ(parameters("llama-3.2-3b"), 3212749824U + 64);
  EXPECT_EQ(parameters("llama-3.2-1b"), 1235814400U + 32);
  EXPECT_EQ(parameters("qwen2.5-7b"), 7615616512U);
  EXPECT_EQ(parameters("qwen3-4b"), 4022468096U);
}

TEST(SyntheticModel, RopeFactorsAreOneAtTheTopAndWholeAtTheBottom) {
  const std::vector<float> factors = Llama3RopeFactors(128, 500000, 8);
  ASSERT_EQ(factors.size(), 64U);
  EXPECT_EQ(factors.front(), 1.0F);
  EXPECT_EQ(factors.back(), 8.0F);
  EXPECT_TRUE(std::is_sorted(factors.begin(), factors.end()));
}

class SyntheticFile : public ::testing::Test {
 protected:
  std::string Write(const std::string& name, const SyntheticModel& model) {
    std::string path = folder_.File(name);
    SyntheticWriteOptions options;
    options.n_threads = 2;
    const Status written = WriteSyntheticModel(model, path, options);
    EXPECT_TRUE(written) << written.error().message;
    return path;
  }

  const testing::TempDir folder_;
};

TEST_F(SyntheticFile, IsTheSameForTheSameSeed) {
  SyntheticModel model;
  const std::string a = testing::ReadFile(Write("a", model));
  EXPECT_EQ(a, testing::ReadFile(Write("b", model)));
  model.seed = 2;
  EXPECT_NE(a, testing::ReadFile(Write("c", model)));
}

TEST_F(SyntheticFile, RefusesShapesThatMakeNoModel) {
  SyntheticModel model;
  model.n_head = 5;
  const Status odd_groups = WriteSyntheticModel(model, folder_.File("x"));
  ASSERT_FALSE(odd_groups);
  EXPECT_EQ(odd_groups.error().message, "n_head 5 is not a multiple of n_head_kv 2");
  model = {};
  model.n_vocab = 100;
  EXPECT_FALSE(WriteSyntheticModel(model, folder_.File("x")));
  EXPECT_FALSE(std::filesystem::exists(folder_.File("x")));
}

TEST_F(SyntheticFile, HasRowsOfWholeBlocks) {
  SyntheticModel model;
  model.n_embd = 96;
  model.head_dim = 24;
  model.n_ff = 80;
  const auto file = GgufFile::Open(Write("model", model));
  ASSERT_TRUE(file) << file.error().message;
  EXPECT_EQ(file->FindTensor("blk.0.attn_q.weight")->type, GgmlType::kQ5_0);
  EXPECT_EQ(file->FindTensor("blk.0.ffn_down.weight")->type, GgmlType::kF16);
}

// llama.cpp loads the file, and its generated vocabulary gives every text tokens that lead back to
// it.
TEST_F(SyntheticFile, HasAVocabularyThatLlamaCppReads) {
  QUERN_SKIP_WITHOUT_PEER();
  SyntheticModel model;
  model.n_vocab = 2000;
  const std::string path = Write("model", model);
  const std::vector<std::string> texts = {"The cat is on the mat.", "\xF0\x9F\x8D\x9E \n\t\x01"};
  const auto tokens = peer::Tokenize(path, texts, {.add_special = false, .parse_special = false});
  ASSERT_TRUE(tokens) << tokens.error().message;
  EXPECT_LT(tokens->at(0).size(), texts[0].size());  // merges happen
  const auto back = peer::Detokenize(path, *tokens);
  ASSERT_TRUE(back) << back.error().message;
  EXPECT_EQ(*back, texts);
}

// Finite logits that are neither flat nor one token alone.
TEST_F(SyntheticFile, GivesADistributionOfSomeWidth) {
  QUERN_SKIP_WITHOUT_PEER();
  SyntheticModel model;
  model.n_layer = 8;
  const std::string path = Write("model", model);
  const std::vector<Token> tokens = {1, 2, 3, 4};
  const auto logits = peer::Logits(path, tokens);
  ASSERT_TRUE(logits) << logits.error().message;
  double squares = 0;
  for (const float logit : *logits) {
    ASSERT_TRUE(std::isfinite(logit));
    squares += static_cast<double>(logit) * logit;
  }
  const double deviation = std::sqrt(squares / static_cast<double>(logits->size()));
  EXPECT_GT(deviation, 1);
  EXPECT_LT(deviation, 6);
}

}  // namespace
}  // namespace quern
