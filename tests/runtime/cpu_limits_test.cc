#include "runtime/cpu_limits.h"

#include <gtest/gtest.h>
#include <sched.h>

#include <string>

#include "tests/testing/temp_dir.h"
#include "tests/testing/write_file.h"

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

TEST(CpuLimits, CpusThatShareACoreCountOnce) {
  cpu_set_t allowed;
  ASSERT_EQ(sched_getaffinity(0, sizeof allowed, &allowed), 0);
  const testing::TempDir root;
  EXPECT_EQ(AllowedCores(root.path()), CPU_COUNT(&allowed)) << "nothing is told";
  const auto tell = [&](const auto& siblings_of) {
    for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
      if (!CPU_ISSET(cpu, &allowed)) continue;
      const std::string name = "cpu" + std::to_string(cpu);
      testing::WriteFile(
          root.File("sys/devices/system/cpu/" + name + "/topology/thread_siblings_list"),
          siblings_of(cpu) + "\n");
    }
  };
  tell([](int) -> std::string { return "0-1023"; });
  EXPECT_EQ(AllowedCores(root.path()), 1);
  tell([](int cpu) { return std::to_string(cpu); });
  EXPECT_EQ(AllowedCores(root.path()), CPU_COUNT(&allowed));
}

}  // namespace
}  // namespace quern
