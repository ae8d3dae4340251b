#include "gguf/base/utf8.h"

#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

namespace quern {
namespace {

std::string Canonical(std::string_view text) {
  std::string scratch;
  return std::string(CanonicalUtf8(text, scratch));
}

TEST(Utf8, EveryCodePointSurvivesEncodingAndDecoding) {
  for (char32_t c = 0; c <= 0x10FFFF; ++c) {
    std::string text;
    AppendUtf8(c, text);
    const auto [value, length] = DecodeUtf8(text, 0);
    ASSERT_EQ(value, c);
    ASSERT_EQ(length, text.size());
    ASSERT_EQ(Utf8Length(text[0]), text.size());
  }
}

TEST(Utf8, CanonicalTextIsReturnedAsItIs) {
  const std::string text = "plain, \u00e9 \u6587 \U0001F600 and 20 more characters of ASCII";
  std::string scratch;
  EXPECT_EQ(CanonicalUtf8(text, scratch).data(), text.data());
}

TEST(Utf8, CanonicalReplacesOnlyWhatIsWrong) {
  EXPECT_EQ(Canonical("a\xff\xfe\u00e9"), "a\ufffd\ufffd\u00e9");
  EXPECT_EQ(Canonical("\xe4\xb8"), "\ufffd\ufffd");                      // unfinished at the end
  EXPECT_EQ(Canonical("\xe4\xb8z"), "\ufffd\ufffdz");                    // unfinished in the middle
  EXPECT_EQ(Canonical("\xc1\x81"), "A");                                 // overlong
  EXPECT_EQ(Canonical("\xed\xa0\x80"), "\xed\xa0\x80");                  // a surrogate stays
  EXPECT_EQ(Canonical("\xf4\x90\x80\x80"), "\ufffd\ufffd\ufffd\ufffd");  // above U+10FFFF
  EXPECT_EQ(Canonical("\xf8\x88\x80\x80"), "\ufffd\ufffd\ufffd\ufffd");
  EXPECT_EQ(Canonical(""), "");
}

TEST(Utf8, StreamGivesWholeSequencesOnly) {
  const std::string text = "a\u00e9\u6587\U0001F600";
  std::string pending;
  std::string given;
  for (const char c : text) {
    pending.push_back(c);
    const std::string whole = TakeWholeUtf8(pending);
    EXPECT_EQ(Canonical(whole), whole);
    given += whole;
  }
  EXPECT_EQ(given, text);
  EXPECT_TRUE(pending.empty());
}

// The examples of Unicode 15.1, section 3.9, tables 3-8 to 3-11.
TEST(Utf8, EachMaximalPartBecomesOneReplacement) {
  const std::vector<std::pair<std::string, size_t>> cases = {
      {"\xC0\xAF\xE0\x80\xBF\xF0\x81\x82", 8},  // non-shortest forms
      {"\xED\xA0\x80\xED\xBF\xBF\xED\xAF", 8},  // surrogates
      {"\xF4\x91\x92\x93\xFF", 5},              // above U+10FFFF
      {"\xE1\x80\xE2\xF0\x91\x92\xF1\xBF", 4},  // truncated sequences
  };
  for (const auto& [bytes, replacements] : cases) {
    std::string pending = bytes + "A";
    std::string expected;
    for (size_t i = 0; i < replacements; ++i) expected += "\ufffd";
    EXPECT_EQ(TakeWholeUtf8(pending), expected + "A");
    EXPECT_TRUE(pending.empty());
  }
}

TEST(Utf8, TellsWhatIsValid) {
  for (const char* text : {"", "a", "h\u00e9", "\U0001F642"})
    EXPECT_TRUE(IsValidUtf8(text)) << text;
  for (const char* text : {"\xff", "\xc3", "a\x80", "\xed\xa0\x80"})
    EXPECT_FALSE(IsValidUtf8(text));
}

}  // namespace
}  // namespace quern
