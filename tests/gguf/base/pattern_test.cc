#include "gguf/base/pattern.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

namespace quern {
namespace {

using ::testing::HasSubstr;
using Outcome = Pattern::Outcome;

TEST(Pattern, FindsWhatItDescribes) {
  const Pattern pattern = Pattern::Compile("(?i)\\bé+x\\b").value();
  EXPECT_EQ(pattern.Find("an Ééx, and"), Outcome::kFound);
  EXPECT_EQ(pattern.Find("an ex"), Outcome::kNotFound);
  EXPECT_EQ(pattern.Find(""), Outcome::kNotFound);
  EXPECT_EQ(pattern.Find("\xff éx"), Outcome::kFound);
}

TEST(Pattern, TellsCasesApartUnlessToldNotTo) {
  EXPECT_EQ(Pattern::Compile("é").value().Find("É"), Outcome::kNotFound);
  EXPECT_EQ(Pattern::Compile("é", Pattern::Case::kIgnored).value().Find("É"), Outcome::kFound);
}

TEST(Pattern, AnErrorTellsThePlace) {
  const Result<Pattern> pattern = Pattern::Compile("ab(c");
  ASSERT_FALSE(pattern);
  EXPECT_THAT(pattern.error().message, HasSubstr("'ab(c'"));
  EXPECT_THAT(pattern.error().message, HasSubstr("byte 4"));
}

// Without a limit this one would take longer than the universe lasts.
TEST(Pattern, GivesUpWhatHasTooManyWays) {
  const Pattern pattern = Pattern::Compile("^(a|aa)+$").value();
  EXPECT_EQ(pattern.Find(std::string(2000, 'a') + '!'), Outcome::kGivenUp);
}

// From no place of the text are there many ways, but there are many places.
TEST(Pattern, GivesUpWhatIsTooMuchOverTheWholeText) {
  const Pattern pattern = Pattern::Compile("a.{0,2000}[bc]").value();
  EXPECT_EQ(pattern.Find(std::string(500, 'a')), Outcome::kNotFound);
  EXPECT_EQ(pattern.Find(std::string(100'000, 'a')), Outcome::kGivenUp);
  EXPECT_EQ(pattern.Find(std::string(1'000'000, ' ')), Outcome::kNotFound);
}

// Steps are few, but each passes over all of the text.
TEST(Pattern, GivesUpWhatPassesOverTooMuch) {
  const Pattern pattern = Pattern::Compile("a.*+[bc]").value();
  EXPECT_EQ(pattern.Find(std::string(1000, 'a')), Outcome::kNotFound);
  EXPECT_EQ(pattern.Find(std::string(10'000, 'a')), Outcome::kGivenUp);
}

}  // namespace
}  // namespace quern
