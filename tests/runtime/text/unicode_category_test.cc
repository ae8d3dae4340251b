#include "runtime/text/unicode_category.h"

#include <gtest/gtest.h>

namespace quern {
namespace {

TEST(UnicodeCategory, KnownCharacters) {
  EXPECT_EQ(CategoryOf(U'a'), UnicodeCategory::kLetter);
  EXPECT_EQ(CategoryOf(U'\u00aa'), UnicodeCategory::kLetter);
  EXPECT_EQ(CategoryOf(U'\u4e00'), UnicodeCategory::kLetter);
  EXPECT_EQ(CategoryOf(U'\u0301'), UnicodeCategory::kMark);
  EXPECT_EQ(CategoryOf(U'7'), UnicodeCategory::kNumber);
  EXPECT_EQ(CategoryOf(U'\u2167'), UnicodeCategory::kNumber);
  EXPECT_EQ(CategoryOf(U'!'), UnicodeCategory::kPunctuation);
  EXPECT_EQ(CategoryOf(U'_'), UnicodeCategory::kPunctuation);
  EXPECT_EQ(CategoryOf(U'+'), UnicodeCategory::kSymbol);
  EXPECT_EQ(CategoryOf(U'\U0001F600'), UnicodeCategory::kSymbol);
  EXPECT_EQ(CategoryOf(0), UnicodeCategory::kOther);
}

TEST(UnicodeCategory, WhitespaceGoesBeforeTheGeneralCategory) {
  int n_whitespace = 0;
  for (char32_t c = 0; c <= 0x10FFFF; ++c) {
    if (CategoryOf(c) == UnicodeCategory::kWhitespace) ++n_whitespace;
  }
  EXPECT_EQ(n_whitespace, 25);  // PropList.txt
  EXPECT_EQ(CategoryOf(U'\n'), UnicodeCategory::kWhitespace);
  EXPECT_EQ(CategoryOf(0x85), UnicodeCategory::kWhitespace);
  EXPECT_EQ(CategoryOf(U'\u3000'), UnicodeCategory::kWhitespace);
}

TEST(UnicodeCategory, VersionIs15Point1) {
  EXPECT_EQ(CategoryOf(0x2EBF0), UnicodeCategory::kLetter);  // CJK extension I: 15.1
  EXPECT_EQ(CategoryOf(0x10D40), UnicodeCategory::kOther);   // Garay digits: 16.0
  EXPECT_EQ(CategoryOf(0x10FFFF), UnicodeCategory::kOther);
  EXPECT_EQ(CategoryOf(0x110000), UnicodeCategory::kOther);
}

}  // namespace
}  // namespace quern
