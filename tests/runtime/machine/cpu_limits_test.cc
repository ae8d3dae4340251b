#include "runtime/machine/cpu_limits.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "tests/testing/cpus.h"
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
  const testing::OnCpu on(testing::AllowedCpus().front());
  EXPECT_EQ(AvailableThreads(), 1);
}

TEST(CpuLimits, CpusThatShareACoreCountOnce) {
  const std::vector<int> cpus = testing::AllowedCpus();
  const auto n_cpus = static_cast<int>(cpus.size());
  const testing::TempDir root;
  EXPECT_EQ(AllowedCores(root.path()), n_cpus) << "nothing is told";
  const auto tell = [&](const auto& siblings_of) {
    for (const int cpu : cpus) {
      const std::string name = "cpu" + std::to_string(cpu);
      testing::WriteFile(
          root.File("sys/devices/system/cpu/" + name + "/topology/thread_siblings_list"),
          siblings_of(cpu) + "\n");
    }
  };
  tell([](int) -> std::string { return "0-1023"; });
  EXPECT_EQ(AllowedCores(root.path()), 1);
  tell([](int cpu) { return std::to_string(cpu); });
  EXPECT_EQ(AllowedCores(root.path()), n_cpus);
}

}  // namespace
}  // namespace quern
