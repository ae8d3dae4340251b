#include "tools/toml/parse_toml.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

namespace quern {
namespace {

using ::testing::StartsWith;

/// "LINE:COLUMN: MESSAGE", or "no error".
std::string ErrorOf(const std::string& text) {
  const auto parsed = ParseToml(text);
  if (parsed) return "no error";
  return fmt::format("{}:{}: {}", parsed.error().at.line, parsed.error().at.column,
                     parsed.error().message);
}

TEST(ParseToml, LettersOutsideOfStringsAreErrors) {
  // One of each range that toml++ holds to have whitespace alone.
  for (const std::string letter : {"ü", "Ω", "⺀", "あ", "ﭐ"}) {
    EXPECT_THAT(ErrorOf("\n" + letter + " = 1\n"), StartsWith("2:1: ")) << letter;
    EXPECT_THAT(ErrorOf("\n[" + letter + "]\n"), StartsWith("2:2: ")) << letter;
    EXPECT_THAT(ErrorOf("\na = " + letter + "\n"), StartsWith("2:")) << letter;
    EXPECT_THAT(ErrorOf("\na = 1" + letter + "\n"), StartsWith("2:6: ")) << letter;
  }
  EXPECT_THAT(ErrorOf("a =\u00a0 1\n"), StartsWith("1:4: "));
}

TEST(ParseToml, LettersInStringsAndCommentsAreTaken) {
  for (const std::string letter : {"ü", "Ω", "⺀", "あ", "ﭐ", "€", "𝄞"}) {
    const auto parsed =
        ParseToml("'" + letter + "' = \"\"\"x\\\n  " + letter + "\"\"\" # " + letter);
    ASSERT_TRUE(parsed) << parsed.error().message;
    EXPECT_EQ((*parsed)[letter].value_or(std::string()), "x" + letter);
  }
}

TEST(ParseToml, ErrorsArePrintable) {
  EXPECT_THAT(ErrorOf("a = 1\u202e\n"), ::testing::HasSubstr("\\xe2\\x80\\xae"));
  EXPECT_THAT(ErrorOf("a = '\xff'\n"), StartsWith("1:"));
  const std::string name(5000, 'k');
  EXPECT_THAT(ErrorOf(name + " = 1\n" + name + " = 2\n"), ::testing::SizeIs(::testing::Lt(520U)));
}

/// A key of `n` parts.
std::string Key(size_t n) {
  std::string key = "a";
  for (size_t i = 1; i < n; ++i) key += i % 2 == 0 ? ".a" : " . 'a.b'";
  return key;
}

TEST(ParseToml, KeysHaveFewParts) {
  const std::string error = "a key of more than 16 parts with dots between";
  EXPECT_EQ(ErrorOf("[" + Key(16) + "]\n" + Key(16) + " = 1\n"), "no error");
  EXPECT_THAT(ErrorOf(Key(17) + " = 1\n"), ::testing::EndsWith(error));
  EXPECT_THAT(ErrorOf("x = {" + Key(17) + " = 1}\n"), ::testing::EndsWith(error));
  std::string deep = "é = 1 # é\n\t[a";
  for (int i = 0; i < 1'000'000; ++i) deep += ".a";
  EXPECT_EQ(ErrorOf(deep + "]\n"), "2:34: " + error);
}

TEST(ParseToml, DotsElsewhereAreNoKeys) {
  const std::string dots(100, '.');
  for (const std::string& text : {
           "# " + dots + "\na = 1 # " + dots,
           "a = '" + dots + "'",
           "a = \"" + dots + "\\\"" + dots + "\"",
           "a = '''\n" + dots + "''\n" + dots + "'''''\nb = '" + dots + "'",
           "a = \"\"\"\n" + dots + "\\\"\"\"\n" + dots + "\"\"\"\nb = ''",
           "a = ['', '" + dots + "']",
       }) {
    EXPECT_EQ(ErrorOf(text), "no error") << text;
  }
  std::string numbers = "a = [";
  for (int i = 0; i < 100; ++i) numbers += "1.5, ";
  EXPECT_EQ(ErrorOf(numbers + "]"), "no error");
  // A string ends where toml++ has it end.
  for (const char* string : {"''", "\"\"", "'\\'", "\"\\\\\"", "''''''", "'''''a'''''"}) {
    EXPECT_THAT(ErrorOf(std::string("a = {b = ") + string + ", " + Key(17) + " = 1}"),
                ::testing::EndsWith("parts with dots between"))
        << string;
  }
}

}  // namespace
}  // namespace quern
