#include "gguf/base/printable.h"

#include <gtest/gtest.h>

namespace quern {
namespace {

TEST(Printable, KeepsTextOfAllLanguages) {
  EXPECT_EQ(Printable("a\xc3\xa9\xe6\xbc\xa2\xf0\x9f\x98\x80"),
            "a\xc3\xa9\xe6\xbc\xa2\xf0\x9f\x98\x80");
}

TEST(Printable, EscapesWhatWouldMoveTheCursorOrReorderText) {
  EXPECT_EQ(Printable("a\n\r\t\x1b[0m\x7f\\"), "a\\n\\r\\t\\x1b[0m\\x7f\\\\");
  EXPECT_EQ(Printable(std::string_view("\0", 1)), "\\x00");
  EXPECT_EQ(Printable("\xc2\x9b"), "\\xc2\\x9b") << "C1 control: a terminal's CSI";
  EXPECT_EQ(Printable("\xe2\x80\xae"), "\\xe2\\x80\\xae") << "right-to-left override";
}

TEST(Printable, EscapesBytesThatAreNotUtf8) {
  EXPECT_EQ(Printable("\xff"), "\\xff");
  EXPECT_EQ(Printable("\x80z"), "\\x80z");
  EXPECT_EQ(Printable("\xc0\xaf"), "\\xc0\\xaf") << "overlong";
  EXPECT_EQ(Printable("\xe0\x80\xaf"), "\\xe0\\x80\\xaf") << "overlong";
  EXPECT_EQ(Printable("\xed\xa0\x80"), "\\xed\\xa0\\x80") << "surrogate";
  EXPECT_EQ(Printable("\xf4\x90\x80\x80"), "\\xf4\\x90\\x80\\x80") << "beyond U+10FFFF";
  EXPECT_EQ(Printable("\xe6\xbc"), "\\xe6\\xbc") << "cut off";
}

TEST(Printable, CutsBetweenCharacters) {
  EXPECT_EQ(Printable("abcdef", 3), "abc...");
  EXPECT_EQ(Printable("abc", 3), "abc");
  EXPECT_EQ(Printable("ab\xc3\xa9", 3), "ab...");
}

TEST(Quoted, EscapesQuotes) { EXPECT_EQ(Quoted("it's"), "'it\\'s'"); }

}  // namespace
}  // namespace quern
