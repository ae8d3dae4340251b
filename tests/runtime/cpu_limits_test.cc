#include "runtime/cpu_limits.h"

#include <gtest/gtest.h>
#include <sched.h>

namespace quern {
namespace {

TEST(CpuLimits, ReadsCpuMaxLines) {
  EXPECT_EQ(CpusOfCpuMax("max 100000"), 0);
  EXPECT_EQ(CpusOfCpuMax(""), 0);
  EXPECT_EQ(CpusOfCpuMax("200000 100000"), 2);
  EXPECT_EQ(CpusOfCpuMax("150000 100000"), 2);
  EXPECT_EQ(CpusOfCpuMax("50000 100000"), 1);
  EXPECT_EQ(CpusOfCpuMax("-1 100000"), 0);
  EXPECT_EQ(CpusOfCpuMax("100000 0"), 0);
}

TEST(CpuLimits, FollowsAffinity) {
  cpu_set_t before;
  ASSERT_EQ(sched_getaffinity(0, sizeof before, &before), 0);
  int first = 0;
  while (!CPU_ISSET(first, &before)) ++first;
  cpu_set_t one;
  CPU_ZERO(&one);
  CPU_SET(first, &one);
  ASSERT_EQ(sched_setaffinity(0, sizeof one, &one), 0);
  EXPECT_EQ(AvailableThreads(), 1);
  ASSERT_EQ(sched_setaffinity(0, sizeof before, &before), 0);
}

}  // namespace
}  // namespace quern
