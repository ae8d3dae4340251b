#include "runtime/text/spm.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "tests/testing/vocabulary_file.h"

namespace quern {
namespace {

using ::testing::ElementsAre;
using testing::VocabularyFile;

std::vector<Token> Encode(VocabularyFile& file, std::string_view text) {
  auto vocabulary = Vocabulary::Load(file.file());
  EXPECT_TRUE(vocabulary) << vocabulary.error().message;
  std::vector<Token> tokens;
  SpmModel(*vocabulary).Encode(text, tokens);
  return tokens;
}

VocabularyFile SmallFile() {
  VocabularyFile file("llama");
  file.Add("<unk>", TokenType::kUnknown);                                                   // 0
  file.Add("<0xC3>", TokenType::kByte).Add("<0xA9>", TokenType::kByte);                     // 1, 2
  file.Add("a", TokenType::kNormal, -9).Add("b", TokenType::kNormal, -9);                   // 3, 4
  file.Add("\u2581", TokenType::kNormal, -9);                                               // 5
  file.Add("ab", TokenType::kNormal, -2).Add("ba", TokenType::kNormal, -1);                 // 6, 7
  file.Add("\u2581a", TokenType::kNormal, -3).Add("\u2581\u2581", TokenType::kNormal, -1);  // 8, 9
  return file;
}

TEST(Spm, MergesTheHighestScoreThenTheLeftmost) {
  VocabularyFile file = SmallFile();
  EXPECT_THAT(Encode(file, "aba"), ElementsAre(3, 7));
  EXPECT_THAT(Encode(file, "abb"), ElementsAre(6, 4));
  EXPECT_THAT(Encode(file, "baba"), ElementsAre(7, 7));
  EXPECT_THAT(Encode(file, ""), ElementsAre());
}

TEST(Spm, SpacesMergeAcrossTheCutBetweenWords) {
  VocabularyFile file = SmallFile();
  EXPECT_THAT(Encode(file, "\u2581ab\u2581a"), ElementsAre(5, 6, 8));
  EXPECT_THAT(Encode(file, "b\u2581\u2581\u2581a"), ElementsAre(4, 9, 8));
}

TEST(Spm, CharactersWithoutATokenBecomeBytes) {
  VocabularyFile file = SmallFile();
  EXPECT_THAT(Encode(file, "a\u00e9b"), ElementsAre(3, 1, 2, 4));
  EXPECT_THAT(Encode(file, "z"), ElementsAre(0));     // no byte token: unknown
  EXPECT_THAT(Encode(file, "\xc3"), ElementsAre(1));  // unfinished
  EXPECT_THAT(Encode(file, "\xa9\xa9"), ElementsAre(2, 2));
  // A lead byte takes as many bytes as it announces, be they a space.
  EXPECT_THAT(Encode(file, "\xc3\u2581"), ElementsAre(1, 0, 0, 0));
}

TEST(Spm, AMegabyteIsOnePieceOfWork) {
  VocabularyFile file("llama");
  file.Add("<unk>", TokenType::kUnknown).Add("a").Add("aa", TokenType::kNormal, 1);
  file.Add("aaaa", TokenType::kNormal, 2);
  EXPECT_EQ(Encode(file, std::string(1 << 20, 'a')).size(), size_t{1} << 18);
}

}  // namespace
}  // namespace quern
