#include "runtime/text/vocabulary.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <limits>
#include <string>
#include <vector>

#include "tests/testing/vocabulary_file.h"

namespace quern {
namespace {

using ::testing::HasSubstr;
using testing::VocabularyFile;

TEST(Vocabulary, TextsTypesAndScores) {
  VocabularyFile file("llama");
  file.Add("<unk>", TokenType::kUnknown).Add("a", TokenType::kNormal, -1.5F);
  file.Add("<0x0A>", TokenType::kByte).Add("", TokenType::kUnused).Add("", TokenType::kUnused);
  auto vocabulary = Vocabulary::Load(file.file());
  ASSERT_TRUE(vocabulary) << vocabulary.error().message;
  EXPECT_EQ(vocabulary->model(), VocabularyModel::kSentencePiece);
  EXPECT_EQ(vocabulary->size(), 5U);
  EXPECT_EQ(vocabulary->Text(1), "a");
  EXPECT_EQ(vocabulary->Score(1), -1.5F);
  EXPECT_EQ(vocabulary->Type(0), TokenType::kUnknown);
  EXPECT_EQ(vocabulary->Byte(2), '\n');
  EXPECT_EQ(vocabulary->Find("a"), 1);
  EXPECT_EQ(vocabulary->Find(""), std::nullopt);
  EXPECT_TRUE(vocabulary->Contains(4));
  EXPECT_FALSE(vocabulary->Contains(5));
  EXPECT_FALSE(vocabulary->Contains(-1));
}

TEST(Vocabulary, RolesOfTokens) {
  VocabularyFile file("gpt2");
  file.Add("a").Add("b").Add("c");
  file.writer().SetUint32("tokenizer.ggml.bos_token_id", 1);
  file.writer().SetUint32("tokenizer.ggml.eos_token_id", 2);
  file.writer().SetUint32("tokenizer.ggml.eot_token_id", 0);
  file.writer().SetBool("tokenizer.ggml.add_bos_token", true);
  auto vocabulary = Vocabulary::Load(file.file());
  ASSERT_TRUE(vocabulary) << vocabulary.error().message;
  EXPECT_EQ(vocabulary->bos(), 1);
  EXPECT_EQ(vocabulary->eos(), 2);
  EXPECT_EQ(vocabulary->add_bos(), true);
  EXPECT_TRUE(vocabulary->IsEndOfGeneration(2));
  EXPECT_TRUE(vocabulary->IsEndOfGeneration(0));
  EXPECT_FALSE(vocabulary->IsEndOfGeneration(1));
}

TEST(Vocabulary, RolesOutsideTheVocabularyAreNone) {
  VocabularyFile file("gpt2");
  file.Add("a");
  file.writer().SetUint32("tokenizer.ggml.bos_token_id", 1);
  file.writer().SetInt32("tokenizer.ggml.eos_token_id", -1);
  auto vocabulary = Vocabulary::Load(file.file());
  ASSERT_TRUE(vocabulary) << vocabulary.error().message;
  EXPECT_EQ(vocabulary->bos(), std::nullopt);
  EXPECT_EQ(vocabulary->eos(), std::nullopt);
}

TEST(Vocabulary, SentencePieceHasRolesByConvention) {
  VocabularyFile file("llama");
  file.Add("<unk>").Add("<s>").Add("</s>");
  auto vocabulary = Vocabulary::Load(file.file());
  ASSERT_TRUE(vocabulary) << vocabulary.error().message;
  EXPECT_EQ(vocabulary->unknown(), 0);
  EXPECT_EQ(vocabulary->bos(), 1);
  EXPECT_EQ(vocabulary->eos(), 2);
  EXPECT_TRUE(vocabulary->add_space_prefix());
}

TEST(Vocabulary, WellKnownTextsEndAnswersAndAreControlTokens) {
  VocabularyFile file("gpt2");
  file.Add("a").Add("<|eot_id|>").Add("<|im_end|>", TokenType::kUserDefined).Add("<|fim_prefix|>");
  file.Add("<|end|>", TokenType::kControl);
  auto vocabulary = Vocabulary::Load(file.file());
  ASSERT_TRUE(vocabulary) << vocabulary.error().message;
  EXPECT_TRUE(vocabulary->IsEndOfGeneration(1));
  EXPECT_TRUE(vocabulary->IsEndOfGeneration(2));
  EXPECT_FALSE(vocabulary->IsEndOfGeneration(3));
  EXPECT_TRUE(vocabulary->IsEndOfGeneration(4));
  EXPECT_EQ(vocabulary->Type(1), TokenType::kControl);
  EXPECT_EQ(vocabulary->Type(2), TokenType::kControl);
  EXPECT_EQ(vocabulary->Type(3), TokenType::kControl);
}

TEST(Vocabulary, PartsOfAGptOssAnswerDoNotEndIt) {
  VocabularyFile file("gpt2");
  file.Add("<|end|>", TokenType::kControl).Add("<|return|>", TokenType::kControl);
  file.Add("<|call|>", TokenType::kControl).Add("<|channel|>", TokenType::kControl);
  auto vocabulary = Vocabulary::Load(file.file());
  ASSERT_TRUE(vocabulary) << vocabulary.error().message;
  EXPECT_FALSE(vocabulary->IsEndOfGeneration(0));
  EXPECT_TRUE(vocabulary->IsEndOfGeneration(1));
  EXPECT_EQ(vocabulary->Type(3), TokenType::kUserDefined);
}

struct BadFile {
  const char* message;
  std::function<void(VocabularyFile&)> change;
};

TEST(Vocabulary, WhatDoesNotFitIsNamed) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const BadFile cases[] = {
      {"tokenizer.ggml.model is 'bert'",
       [](auto& f) { f.writer().SetString("tokenizer.ggml.model", "bert"); }},
      {"tokenizer.ggml.model", [](auto& f) { f.writer().SetUint32("tokenizer.ggml.model", 1); }},
      {"tokenizer.ggml.token_type has 1 values for 2 tokens",
       [](auto& f) {
         f.has_own_types = true;
         f.writer().SetInt32s("tokenizer.ggml.token_type", std::vector<int32_t>{1});
       }},
      {"tokenizer.ggml.token_type",
       [](auto& f) {
         f.has_own_types = true;
         f.writer().SetString("tokenizer.ggml.token_type", "none");
       }},
      {"tokenizer.ggml.scores has 0 values for 2 tokens",
       [](auto& f) {
         f.has_own_scores = true;
         f.writer().SetFloat32s("tokenizer.ggml.scores", {});
       }},
      {"tokenizer.ggml.scores[1] is not a number",
       [=](auto& f) {
         f.has_own_scores = true;
         f.writer().SetFloat32s("tokenizer.ggml.scores", std::vector<float>{0, nan});
       }},
      {"tokenizer.ggml.tokens[2] is 'a' as is [0]", [](auto& f) { f.Add("a"); }},
      {"tokenizer.ggml.tokens[2] is '<0xG0>'", [](auto& f) { f.Add("<0xG0>", TokenType::kByte); }},
      {"tokenizer.ggml.add_bos_token",
       [](auto& f) { f.writer().SetString("tokenizer.ggml.add_bos_token", "yes"); }},
      {"tokenizer.ggml.bos_token_id",
       [](auto& f) { f.writer().SetString("tokenizer.ggml.bos_token_id", "1"); }},
  };
  for (const BadFile& bad : cases) {
    VocabularyFile file("llama");
    file.Add("a").Add("b");
    bad.change(file);
    auto vocabulary = Vocabulary::Load(file.file());
    ASSERT_FALSE(vocabulary) << bad.message;
    EXPECT_THAT(vocabulary.error().message, HasSubstr("test.gguf"));
    EXPECT_THAT(vocabulary.error().message, HasSubstr(bad.message));
  }
}

TEST(Vocabulary, NoTokensAreAnError) {
  VocabularyFile empty("llama");
  auto vocabulary = Vocabulary::Load(empty.file());
  ASSERT_FALSE(vocabulary);
  EXPECT_THAT(vocabulary.error().message, HasSubstr("tokenizer.ggml.tokens"));
}

}  // namespace
}  // namespace quern
