#include "runtime/text/class_alphabet.h"

#include <gtest/gtest.h>

#include <string>

namespace quern {
namespace {

std::string Classes(const ClassAlphabet& alphabet, std::string_view text) {
  std::string classes;
  alphabet.AppendClasses(text, classes);
  return classes;
}

TEST(ClassAlphabet, AsciiStandsForItselfAndTheRestIsOneByte) {
  const ClassAlphabet alphabet;
  EXPECT_EQ(Classes(alphabet, "a1 \u00e9\u6587\u0301\u00bd\u201c\u20ac\u3000\U0001F600\u200d"),
            "a1 \x80\x80\x90\xa0\xb0\xc0\v\xc0\xd0");
}

TEST(ClassAlphabet, PropertiesBecomeRangesOfBytes) {
  ClassAlphabet alphabet;
  EXPECT_EQ(alphabet.Translate(R"(\p{L}+|[^\s\p{N}]\p{E})"),
            R"([A-Za-z\x80-\x8f]+|[^\s0-9\xa0-\xaf][\x80-\x8f])");
}

TEST(ClassAlphabet, CharactersOfABracketAreASetOfTheirOwn) {
  ClassAlphabet alphabet;
  EXPECT_EQ(alphabet.Translate("[a\u4e00-\u4e02\u3002]").substr(0, 10), R"([a\x81\x83)");
  // Letters in and out of the set, punctuation in it, and punctuation out of it.
  EXPECT_EQ(Classes(alphabet, "\u4e00\u4e01\u4e03\u3002\u3001"), "\x81\x81\x80\xb1\xb0");
}

TEST(ClassAlphabet, WhitespaceIsInNoSet) {
  ClassAlphabet alphabet;
  alphabet.Translate("[\u3000-\u3002]");
  EXPECT_EQ(Classes(alphabet, "\u3000\u3001"), "\v\xb1");
}

}  // namespace
}  // namespace quern
