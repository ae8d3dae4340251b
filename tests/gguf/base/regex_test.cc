#include "gguf/base/regex.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

namespace quern {
namespace {

using ::testing::HasSubstr;
using Outcome = RegexMatcher::Outcome;

TEST(Regex, TellsWhereTheFirstMatchIs) {
  const Regex digits = Regex::Compile("[0-9]+", {}).value();
  RegexMatcher matcher;
  ASSERT_EQ(matcher.Find(digits, "ab12 345"), Outcome::kFound);
  EXPECT_EQ(matcher.begin(), 2U);
  EXPECT_EQ(matcher.end(), 4U);
  EXPECT_EQ(matcher.Find(digits, "ab"), Outcome::kNotFound);
  ASSERT_EQ(matcher.Find(digits, "7"), Outcome::kFound);
  EXPECT_EQ(matcher.begin(), 0U);
  EXPECT_EQ(matcher.end(), 1U);
}

TEST(Regex, MatchesBytesOrCodePoints) {
  RegexMatcher matcher;
  const std::string text = "é";
  ASSERT_EQ(matcher.Find(Regex::Compile(".", {}).value(), text), Outcome::kFound);
  EXPECT_EQ(matcher.end(), 1U);
  ASSERT_EQ(matcher.Find(Regex::Compile(".", {.is_utf8 = true}).value(), text), Outcome::kFound);
  EXPECT_EQ(matcher.end(), 2U);
}

TEST(Regex, ADollarMayMeanTheVeryEnd) {
  RegexMatcher matcher;
  EXPECT_EQ(matcher.Find(Regex::Compile("a$", {}).value(), "a\n"), Outcome::kFound);
  EXPECT_EQ(matcher.Find(Regex::Compile("a$", {.dollar_is_end = true}).value(), "a\n"),
            Outcome::kNotFound);
}

TEST(Regex, AnErrorTellsThePlace) {
  const Result<Regex> regex = Regex::Compile("ab(c", {});
  ASSERT_FALSE(regex);
  EXPECT_THAT(regex.error().message, HasSubstr("'ab(c' is no pattern, at its byte 4"));
}

// Each character takes room on the JIT's stack, which has an end.
TEST(Regex, WithoutLimitsNothingIsGivenUp) {
  const std::string text(1'000'000, 'a');
  RegexMatcher matcher;
  const Regex regex = Regex::Compile("(?:a|b)*c", {}).value();
  ASSERT_EQ(matcher.Find(regex, text + 'c'), Outcome::kFound);
  EXPECT_EQ(matcher.end(), text.size() + 1);
}

TEST(Regex, ALimitOfStepsIsKept) {
  const Regex regex = Regex::Compile("^(a|aa)+$", {}).value();
  RegexMatcher matcher({.steps = 10'000});
  EXPECT_EQ(matcher.Find(regex, std::string(2000, 'a') + '!'), Outcome::kGivenUp);
  EXPECT_EQ(matcher.Find(regex, "aa"), Outcome::kFound);
}

TEST(Regex, ALimitOfWorkIsOfEachText) {
  const Regex regex = Regex::Compile("a.*+[bc]", {.counts_work = true}).value();
  RegexMatcher matcher({.work = 100'000});
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(matcher.Find(regex, std::string(100, 'a')), Outcome::kNotFound);
    EXPECT_EQ(matcher.Find(regex, std::string(10'000, 'a')), Outcome::kGivenUp);
  }
}

}  // namespace
}  // namespace quern
