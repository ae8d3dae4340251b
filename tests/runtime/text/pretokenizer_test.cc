#include "runtime/text/pretokenizer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <string_view>
#include <vector>

#include "tests/testing/random_text.h"

namespace quern {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

PreTokenizer Make(std::string_view name) {
  const PreTokenizerRule* rule = FindPreTokenizerRule(name);
  EXPECT_NE(rule, nullptr) << name;
  return PreTokenizer(*rule);
}

TEST(PreTokenizer, Llama3) {
  const PreTokenizer llama = Make("llama-bpe");
  EXPECT_THAT(llama.Split("Hello world's  12345, DON'T\n\n x  "),
              ElementsAre("Hello", " world", "'s", " ", " ", "123", "45", ",", " DON", "'T", "\n\n",
                          " x", "  "));
  EXPECT_THAT(llama.Split("\u4e2d\u6587\u3002\u0663\u0664a\u0301"),
              ElementsAre("\u4e2d\u6587", "\u3002", "\u0663\u0664", "a", "\u0301"));
  EXPECT_THAT(llama.Split(""), ElementsAre());
}

TEST(PreTokenizer, FamiliesDifferInNumbers) {
  EXPECT_THAT(Make("qwen2").Split("a 123"), ElementsAre("a", " ", "1", "2", "3"));
  EXPECT_THAT(Make("gpt-2").Split("a 1234"), ElementsAre("a", " 1234"));
  EXPECT_THAT(Make("starcoder").Split("a 12"), ElementsAre("a", " ", "1", "2"));
}

TEST(PreTokenizer, MarksBelongToWordsForQwen35) {
  EXPECT_THAT(Make("qwen35").Split("a\u0301b c"), ElementsAre("a\u0301b", " c"));
}

TEST(PreTokenizer, CaseEndsWordsForGpt4o) {
  EXPECT_THAT(Make("gpt-4o").Split("camelCase HTTPServer's"),
              ElementsAre("camel", "Case", " HTTPServer's"));
}

TEST(PreTokenizer, NamedCharactersForDeepSeek) {
  EXPECT_THAT(Make("deepseek-v3").Split("ab\u4e2d\u6587cd"),
              ElementsAre("ab", "\u4e2d\u6587", "cd"));
}

TEST(PreTokenizer, AnUnknownNameHasNoRule) {
  EXPECT_EQ(FindPreTokenizerRule("no-such"), nullptr);
  EXPECT_THAT(KnownPreTokenizers(), HasSubstr("llama-bpe"));
  EXPECT_THAT(KnownPreTokenizers(), HasSubstr("qwen2"));
}

// Pieces are not empty and give the text back, whatever it is.
TEST(PreTokenizer, LosesNothing) {
  testing::RandomText random(1, {});
  std::vector<PreTokenizer> all;
  for (const char* name : {"llama-bpe", "gpt-4o", "deepseek-llm", "bloom", "default"}) {
    all.push_back(Make(name));
  }
  for (int i = 0; i < 1000; ++i) {
    std::string scratch;
    const std::string text(CanonicalUtf8(random.Next(), scratch));
    for (const PreTokenizer& pretokenizer : all) {
      std::string joined;
      for (const std::string_view piece : pretokenizer.Split(text)) {
        EXPECT_FALSE(piece.empty());
        joined += piece;
      }
      ASSERT_EQ(joined, text);
    }
  }
}

// A megabyte without a boundary must meet no limit of PCRE2: it is cut as its first bytes are.
TEST(PreTokenizer, LongRunsAreCutAsShortOnes) {
  constexpr size_t kLong = 1 << 20;
  for (const char* name : {"llama-bpe", "gpt-2", "gpt-4o", "tekken", "deepseek-llm", "falcon"}) {
    const PreTokenizer pretokenizer = Make(name);
    EXPECT_EQ(pretokenizer.Split(std::string(kLong, 'a')).size(), 1U) << name;
    EXPECT_EQ(pretokenizer.Split(std::string(kLong, 'A')).size(), 1U) << name;
    EXPECT_EQ(pretokenizer.Split(std::string(kLong, ' ') + "x").size(),
              pretokenizer.Split("      x").size())
        << name;
    std::string letters;
    for (size_t i = 0; i < kLong / 2; ++i) letters += "\u00e9";
    EXPECT_EQ(pretokenizer.Split(letters).size(), 1U) << name;
  }
  EXPECT_EQ(Make("llama-bpe").Split(std::string(kLong, '7')).size(), (kLong + 2) / 3);
}

}  // namespace
}  // namespace quern
