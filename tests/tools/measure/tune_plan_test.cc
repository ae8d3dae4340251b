#include "tools/measure/tune_plan.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace quern {
namespace {

using ::testing::ElementsAre;

TuneTask Task(double seconds) {
  return {.threads = {8, 4, 2, 1},
          .batch_sizes = {64, 128, 256, 512},
          .may_drop_sizes = true,
          .n_parallel = {1, 16},
          .seconds = seconds,
          .n_rounds = 9};
}

TEST(TunePlan, TriesCpusCoresAndLess) {
  EXPECT_THAT(ThreadCounts(1, 1), ElementsAre(1));
  EXPECT_THAT(ThreadCounts(2, 2), ElementsAre(2, 1));
  EXPECT_THAT(ThreadCounts(1, 2), ElementsAre(2, 1));
  EXPECT_THAT(ThreadCounts(8, 16), ElementsAre(16, 8, 6, 4, 2, 1));
  EXPECT_THAT(ThreadCounts(14, 20), ElementsAre(20, 14, 10, 7, 3, 1));
  EXPECT_THAT(ThreadCounts(64, 6), ElementsAre(6, 4, 3, 1)) << "a container's limit";
}

TEST(TunePlan, HasTimeForEverythingOnAFastMachine) {
  const TunePlan plan = PlanTune(Task(120), {.prompt = 1000, .answer = 100});
  EXPECT_EQ(plan.n_prompt, 256U);
  EXPECT_EQ(plan.n_answer, 32U);
  EXPECT_THAT(plan.batch_sizes, ElementsAre(64, 128, 256, 512));
  // 8 threads, and 4 that take twice as long.
  EXPECT_NEAR(plan.thread_round, 3 * (0.256 + 0.32), 1e-9);
  EXPECT_NEAR(plan.batch_round, 0.96 + 32 * (0.01 + 0.001) + 32 * (0.01 + 0.016), 1e-9);
  EXPECT_NEAR(plan.seconds, 9 * (plan.thread_round + plan.batch_round), 1e-9);
}

TEST(TunePlan, MeasuresLessOnASlowMachine) {
  const TunePlan plan = PlanTune(Task(120), {.prompt = 40, .answer = 8});
  EXPECT_LT(plan.n_prompt, 256U);
  EXPECT_EQ(plan.n_answer, plan.n_prompt / 8);
  EXPECT_GE(plan.batch_sizes.size(), 2U);
  EXPECT_LT(plan.batch_sizes.size(), 4U);
  EXPECT_LE(3 * (plan.thread_round + plan.batch_round), 120);
  EXPECT_EQ(plan.seconds, 120);
}

TEST(TunePlan, ThreeRoundsAreMeasuredHoweverSlow) {
  const TunePlan plan = PlanTune(Task(1), {.prompt = 4, .answer = 1});
  EXPECT_EQ(plan.n_prompt, 32U);
  EXPECT_EQ(plan.n_answer, 4U);
  EXPECT_THAT(plan.batch_sizes, ElementsAre(64, 128));
  EXPECT_NEAR(plan.seconds, 3 * (plan.thread_round + plan.batch_round), 1e-9);
}

TEST(TunePlan, SizesThatWereAskedForStay) {
  TuneTask task = Task(1);
  task.may_drop_sizes = false;
  EXPECT_THAT(PlanTune(task, {.prompt = 4, .answer = 1}).batch_sizes,
              ElementsAre(64, 128, 256, 512));
}

}  // namespace
}  // namespace quern
