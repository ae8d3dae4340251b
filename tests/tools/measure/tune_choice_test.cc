#include "tools/measure/tune_choice.h"

#include <gtest/gtest.h>

#include <vector>

namespace quern {
namespace {

size_t Chosen(const std::vector<TuneSeries>& all) { return all[ChooseSetting(all).chosen].setting; }

TEST(TuneChoice, TheFastestIsChosen) {
  EXPECT_EQ(Chosen({{4, {10, 10, 10}}, {2, {11, 11, 11}}, {1, {20, 20, 20}}}), 4U);
  EXPECT_EQ(Chosen({{8, {12, 12, 12}}, {4, {10, 10, 10}}, {2, {11, 11, 11}}}), 4U);
  EXPECT_EQ(Chosen({{8, {12}}}), 8U);
}

TEST(TuneChoice, TheSmallestOfThoseThatAreAboutAsFastIsChosen) {
  const std::vector<TuneSeries> all = {
      {8, {10, 10, 10}}, {2, {10.4, 10.4, 10.4}}, {4, {10.2, 10.2, 10.2}}, {6, {10.1, 10.1, 10.1}}};
  const TuneChoice choice = ChooseSetting(all);
  EXPECT_EQ(all[choice.chosen].setting, 4U);
  EXPECT_EQ(all[choice.fastest].setting, 8U);
}

TEST(TuneChoice, AMachineThatGetsSlowerChangesNothing) {
  EXPECT_EQ(Chosen({{4, {10, 20, 40}}, {2, {11, 22, 44}}}), 4U);
  const TuneExcess excess = ExcessOver({2, {11, 22, 44}}, {4, {10, 20, 40}});
  EXPECT_NEAR(excess.share, 0.1, 1e-9);
  EXPECT_NEAR(excess.error, 0, 1e-9);
}

TEST(TuneChoice, WhatIsWithinTheErrorIsNoReason) {
  // 4% slower in the median, but between -10% and 19%.
  const TuneSeries two = {2, {9, 10.4, 11.9}};
  const TuneSeries four = {4, {10, 10, 10}};
  const TuneExcess excess = ExcessOver(two, four);
  EXPECT_NEAR(excess.share, 0.04, 1e-9);
  EXPECT_NEAR(excess.error, 1.858 * 0.14 / 1.732, 1e-3);
  EXPECT_EQ(Chosen({two, four}), 2U);
}

TEST(TuneChoice, NoiseDoesNotExcuseALargeDifference) {
  EXPECT_EQ(Chosen({{2, {8, 10.6, 13}}, {4, {10, 10, 10}}}), 4U);
}

TEST(TuneChoice, AnOutlierDoesNotDecide) {
  EXPECT_EQ(Chosen({{4, {10, 10, 90, 10, 10}}, {2, {11, 11, 11, 11, 11}}}), 4U);
}

}  // namespace
}  // namespace quern
