#include "tools/measure/statistics.h"

#include <gtest/gtest.h>

namespace quern {
namespace {

TEST(Statistics, TheMedianIsInTheMiddle) {
  EXPECT_EQ(MedianOf({7}), 7);
  EXPECT_EQ(MedianOf({9, 1, 2}), 2);
  EXPECT_EQ(MedianOf({4, 100, 2, 1}), 3);
}

TEST(Statistics, TheDeviationPassesOverOutliers) {
  EXPECT_EQ(MedianDeviation({5}), 0);
  EXPECT_EQ(MedianDeviation({10, 11, 12, 13, 1000}), 1);
}

}  // namespace
}  // namespace quern
