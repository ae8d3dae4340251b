#include "runtime/text/special_tokens.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <string>

#include "tests/testing/vocabulary_file.h"

namespace quern {
namespace {

using testing::VocabularyFile;

/// "text|<3>text": plain parts, and tokens with what they took.
std::string Show(const std::vector<TextFragment>& fragments) {
  std::string shown;
  for (const TextFragment& fragment : fragments) {
    const bool is_plain = fragment.token == TextFragment::kPlainText;
    shown += is_plain ? fmt::format("{}|", fragment.text)
                      : fmt::format("<{}>{}|", fragment.token, fragment.text);
  }
  return shown;
}

std::string Partition(VocabularyFile& file, std::string_view text, bool include_control) {
  auto vocabulary = Vocabulary::Load(file.file());
  EXPECT_TRUE(vocabulary) << vocabulary.error().message;
  return Show(SpecialTokens(*vocabulary, include_control).Partition(text));
}

VocabularyFile SmallFile() {
  VocabularyFile file("llama");
  file.Add("<unk>", TokenType::kUnknown).Add("[U]", TokenType::kUserDefined);
  file.Add("<c>", TokenType::kControl).Add("plain").Add("[U]]", TokenType::kUserDefined);
  return file;
}

TEST(SpecialTokens, ControlTokensAreFoundOnRequest) {
  VocabularyFile file = SmallFile();
  EXPECT_EQ(Partition(file, "a<c>b[U]<unk>plain", false), "a<c>b|<1>[U]|<unk>plain|");
  EXPECT_EQ(Partition(file, "a<c>b[U]<unk>plain", true), "a|<2><c>|b|<1>[U]|<0><unk>|plain|");
  EXPECT_EQ(Partition(file, "", true), "");
  EXPECT_EQ(Partition(file, "<c><c>", true), "<2><c>|<2><c>|");
}

TEST(SpecialTokens, TheLongestGoesFirst) {
  VocabularyFile file = SmallFile();
  EXPECT_EQ(Partition(file, "[U]]", false), "<4>[U]]|");
  EXPECT_EQ(Partition(file, "[U][U", false), "<1>[U]|[U|");
}

TEST(SpecialTokens, TheLongestGoesFirstEvenIfItStartsLater) {
  VocabularyFile file("llama");
  file.Add("ab", TokenType::kUserDefined).Add("bcd", TokenType::kUserDefined);
  file.Add("x", TokenType::kUserDefined).Add("aa", TokenType::kUserDefined);
  EXPECT_EQ(Partition(file, "abcdab", false), "a|<1>bcd|<0>ab|");
  EXPECT_EQ(Partition(file, "aaa", false), "<3>aa|a|");
}

TEST(SpecialTokens, Phi3TakesTheSpacesAfter) {
  VocabularyFile file = SmallFile();
  file.writer().SetString("general.name", "Phi-3 mini");
  EXPECT_EQ(Partition(file, "a <c> \n b<unk> [U] <c>", true),
            "a |<2><c> \n |b|<0><unk>| |<1>[U] |<2><c>|");
}

}  // namespace
}  // namespace quern
