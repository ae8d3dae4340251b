#include "server/inference/stall_timer.h"

#include <gtest/gtest.h>

namespace quern {
namespace {

using std::chrono::seconds;

constexpr StallTimer::Clock::time_point At(int second) {
  return StallTimer::Clock::time_point(seconds(second));
}

TEST(StallTimer, NothingToDoIsNoStall) {
  StallTimer timer;
  EXPECT_EQ(timer.Stalled(At(1000)), seconds(0));
  timer.Begin(At(1000));
  timer.Rest();
  EXPECT_EQ(timer.Stalled(At(5000)), seconds(0));
}

TEST(StallTimer, CountsFromWhenThereIsWork) {
  StallTimer timer;
  timer.Begin(At(1000));
  EXPECT_EQ(timer.Stalled(At(1007)), seconds(7));
}

TEST(StallTimer, MoreWorkIsNoProgress) {
  StallTimer timer;
  timer.Begin(At(1000));
  timer.Begin(At(1005));
  EXPECT_EQ(timer.Stalled(At(1007)), seconds(7));
}

TEST(StallTimer, ProgressBeginsAnew) {
  StallTimer timer;
  timer.Begin(At(1000));
  timer.Progress(At(1006));
  EXPECT_EQ(timer.Stalled(At(1007)), seconds(1));
}

}  // namespace
}  // namespace quern
