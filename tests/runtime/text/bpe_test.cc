#include "runtime/text/bpe.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>
#include <map>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "tests/testing/vocabulary_file.h"

namespace quern {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::VocabularyFile;

BpeModel Load(VocabularyFile& file, bool ignore_merges = false) {
  auto vocabulary = Vocabulary::Load(file.file());
  EXPECT_TRUE(vocabulary) << vocabulary.error().message;
  auto model = BpeModel::Load(file.file(), *vocabulary, ignore_merges);
  EXPECT_TRUE(model) << model.error().message;
  return std::move(*model);
}

std::vector<Token> Encode(const BpeModel& model, std::string_view piece) {
  BpeModel::Workspace workspace;
  std::vector<Token> tokens;
  model.Encode(piece, workspace, tokens);
  return tokens;
}

TEST(Bpe, MergesTheLowestRankThenTheLeftmost) {
  VocabularyFile file("gpt2");
  file.Add("a").Add("b").Add("c").Add("ab").Add("bc").Add("aa");
  file.AddMerge("b c").AddMerge("a b").AddMerge("a a");
  const BpeModel model = Load(file);
  EXPECT_THAT(Encode(model, "abc"), ElementsAre(0, 4));
  EXPECT_THAT(Encode(model, "abab"), ElementsAre(3, 3));
  EXPECT_THAT(Encode(model, "aaa"), ElementsAre(5, 0));
  EXPECT_THAT(Encode(model, ""), ElementsAre());
}

TEST(Bpe, IgnoreMergesTakesAPieceThatIsAToken) {
  VocabularyFile file("gpt2");
  file.Add("a").Add("b").Add("ab").Add("aba").Add("\u0120a");
  file.AddMerge("a b");
  EXPECT_THAT(Encode(Load(file), "aba"), ElementsAre(2, 0));
  EXPECT_THAT(Encode(Load(file, true), "aba"), ElementsAre(3));
  EXPECT_THAT(Encode(Load(file, true), " a"), ElementsAre(4));
  EXPECT_THAT(Encode(Load(file, true), "abab"), ElementsAre(2, 2));
}

// As llama.cpp: "ab" is only a step to "abc"; left over, its bytes are looked up.
TEST(Bpe, SymbolsMayBeMissingInTheVocabulary) {
  VocabularyFile file("gpt2");
  file.Add("a").Add("b").Add("c").Add("abc");
  file.AddMerge("a b").AddMerge("ab c");
  const BpeModel model = Load(file);
  EXPECT_THAT(Encode(model, "abcab"), ElementsAre(3, 0, 1));
  EXPECT_THAT(Encode(model, "xa y"), ElementsAre(0));  // bytes without a token are dropped
}

TEST(Bpe, BytesUndoTheSpelling) {
  VocabularyFile file("gpt2");
  file.Add("\u0120the").Add("\u00c3\u00a9").Add("\u2581x").AddMerge("a b");
  const BpeModel model = Load(file);
  EXPECT_EQ(model.Bytes(0), " the");
  EXPECT_EQ(model.Bytes(1), "\u00e9");
  EXPECT_EQ(model.Bytes(2), "\u2581x");  // not of the alphabet: itself
}

TEST(Bpe, BadMergesAreErrors) {
  for (const char* merge : {"ab", "a ", " a", "", "a b c", "a \u2581"}) {
    VocabularyFile file("gpt2");
    file.Add("a").Add("b").AddMerge("a b").AddMerge(merge);
    auto vocabulary = Vocabulary::Load(file.file());
    auto model = BpeModel::Load(file.file(), *vocabulary, false);
    ASSERT_FALSE(model) << merge;
    EXPECT_EQ(model.error().code, ErrorCode::kCorruptFile);
    EXPECT_THAT(model.error().message, HasSubstr("test.gguf: tokenizer.ggml.merges[1]"));
  }
  VocabularyFile file("gpt2");
  file.Add("a");
  auto vocabulary = Vocabulary::Load(file.file());
  auto model = BpeModel::Load(file.file(), *vocabulary, false);
  ASSERT_FALSE(model);
  EXPECT_EQ(model.error().code, ErrorCode::kNotFound);
}

/// The definition, step by step: of all pairs the lowest rank, of those the leftmost.
std::vector<std::string> MergeSlowly(
    std::string_view piece, const std::map<std::pair<std::string, std::string>, int>& ranks) {
  std::vector<std::string> symbols;
  for (const char c : piece) symbols.emplace_back(1, c);
  while (true) {
    int lowest = std::numeric_limits<int>::max();
    size_t at = 0;
    for (size_t i = 0; i + 1 < symbols.size(); ++i) {
      const auto found = ranks.find({symbols[i], symbols[i + 1]});
      if (found != ranks.end() && found->second < lowest) {
        lowest = found->second;
        at = i;
      }
    }
    if (lowest == std::numeric_limits<int>::max()) return symbols;
    symbols[at] += symbols[at + 1];
    symbols.erase(symbols.begin() + static_cast<std::ptrdiff_t>(at) + 1);
  }
}

// Random merges over a small alphabet: short pieces (a scan for the lowest rank) and long ones (a
// heap) both give what the definition gives.
TEST(Bpe, AgreesWithTheDefinition) {
  std::mt19937 random(1);
  for (int round = 0; round < 20; ++round) {
    VocabularyFile file("gpt2");
    std::vector<std::string> texts = {"a", "b", "c"};
    std::map<std::pair<std::string, std::string>, int> ranks;
    for (const std::string& text : texts) file.Add(text);
    for (int rank = 0; rank < 60; ++rank) {
      const std::string left = texts[random() % texts.size()];
      const std::string right = texts[random() % texts.size()];
      file.AddMerge(left + " " + right);
      ranks.emplace(std::pair(left, right), rank);
      const std::string both = left + right;
      if (std::find(texts.begin(), texts.end(), both) == texts.end()) {
        texts.push_back(both);
        file.Add(both);
      }
    }
    const BpeModel model = Load(file);
    for (const size_t length : {1, 5, 31, 32, 33, 64, 300}) {
      std::string piece;
      for (size_t i = 0; i < length; ++i) piece.push_back(static_cast<char>('a' + random() % 3));
      std::vector<std::string> merged;
      for (const Token token : Encode(model, piece)) merged.emplace_back(model.Bytes(token));
      EXPECT_EQ(merged, MergeSlowly(piece, ranks)) << piece;
    }
  }
}

// Quadratic merging would take minutes.
TEST(Bpe, AMegabyteIsOnePieceOfWork) {
  VocabularyFile file("gpt2");
  file.Add("a").Add("aa").Add("aaaa").AddMerge("a a").AddMerge("aa aa");
  const std::string piece(1 << 20, 'a');
  const std::vector<Token> tokens = Encode(Load(file), piece);
  EXPECT_EQ(tokens, std::vector<Token>(1 << 18, 2));
}

}  // namespace
}  // namespace quern
