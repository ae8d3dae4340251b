#include "runtime/text/stop_text.h"

#include <gtest/gtest.h>

namespace quern {
namespace {

TEST(StopText, HoldsBackWhatMayBecomeAStop) {
  StopText stop({"END", "##"});
  EXPECT_EQ(stop.Add("abc E"), "abc ");
  EXPECT_EQ(stop.Add("N"), "");
  EXPECT_EQ(stop.Add("X#"), "ENX");
  EXPECT_EQ(stop.Finish(), "#");
  EXPECT_TRUE(stop.matched().empty());
}

TEST(StopText, CutsAtTheEarliestMatch) {
  StopText stop({"world", "lo w"});
  EXPECT_EQ(stop.Add("hello world"), "hel");
  EXPECT_EQ(stop.matched(), "lo w");
  EXPECT_EQ(stop.Add("more"), "");
  EXPECT_EQ(stop.Finish(), "");
}

TEST(StopText, FindsAStopSplitOverManyPieces) {
  StopText stop({"abab"});
  std::string text;
  for (const char c : std::string("xaababz")) text += stop.Add(std::string(1, c));
  EXPECT_EQ(text, "xa");
  EXPECT_EQ(stop.matched(), "abab");
}

TEST(StopText, WithoutStopsPassesEverything) {
  StopText stop({});
  EXPECT_EQ(stop.Add("abc"), "abc");
  EXPECT_EQ(stop.Finish(), "");
}

}  // namespace
}  // namespace quern
