#include "runtime/machine/process_memory.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <string>

#include "tests/testing/temp_dir.h"
#include "tests/testing/write_file.h"

namespace quern {
namespace {

constexpr uint64_t kMiB = 1 << 20;

class ProcessMemoryOf : public ::testing::Test {
 protected:
  /// A machine of 8,000 MiB, 6,000 of them available.
  ProcessMemoryOf() {
    Write("proc/self/statm", "765 438 409 5 0 123 0\n");
    Write("proc/meminfo",
          "MemTotal:        8192000 kB\nMemFree:          100000 kB\n"
          "MemAvailable:    6144000 kB\nHugePages_Total:       0\n");
  }
  void Write(const std::string& file, const std::string& text) {
    testing::WriteFile(root_.File(file), text);
  }
  ProcessMemory Read() const { return ReadProcessMemory(root_.path()); }

  testing::TempDir root_;
};

TEST_F(ProcessMemoryOf, TheMachineAlone) {
  const ProcessMemory memory = Read();
  EXPECT_EQ(memory.resident, 438 * static_cast<uint64_t>(sysconf(_SC_PAGESIZE)));
  EXPECT_EQ(memory.limit, 8000 * kMiB);
  EXPECT_EQ(memory.available, 6000 * kMiB);
}

TEST_F(ProcessMemoryOf, ACgroupV2Limit) {
  Write("proc/self/cgroup", "0::/outer/inner\n");
  Write("sys/fs/cgroup/outer/inner/memory.max", "max\n");
  Write("sys/fs/cgroup/outer/memory.max", "1048576000\n");     // 1,000 MiB
  Write("sys/fs/cgroup/outer/memory.current", "734003200\n");  // 700 MiB
  Write("sys/fs/cgroup/outer/memory.stat",
        "anon 1\nfile 419430400\ninactive_file 209715200\nactive_file 104857600\n");  // 200 + 100
  EXPECT_EQ(Read().limit, 1000 * kMiB);
  EXPECT_EQ(Read().available, 600 * kMiB);
}

TEST_F(ProcessMemoryOf, ACgroupV1Limit) {
  Write("proc/self/cgroup", "4:memory:/container\n");
  Write("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
  Write("sys/fs/cgroup/memory/memory.usage_in_bytes", "7340032000\n");
  Write("sys/fs/cgroup/memory/container/memory.limit_in_bytes", "2097152000\n");  // 2,000 MiB
  Write("sys/fs/cgroup/memory/container/memory.usage_in_bytes", "524288000\n");   // 500 MiB
  Write("sys/fs/cgroup/memory/container/memory.stat",
        "inactive_file 0\ntotal_inactive_file 104857600\n");  // 100 MiB
  EXPECT_EQ(Read().limit, 2000 * kMiB);
  EXPECT_EQ(Read().available, 1600 * kMiB);
}

TEST_F(ProcessMemoryOf, AContainerWhosePathIsTheHosts) {
  Write("proc/self/cgroup", "0::/docker/0123456789abcdef\n");
  Write("sys/fs/cgroup/memory.max", "104857600\n");
  Write("sys/fs/cgroup/memory.current", "209715200\n");  // over its limit: nothing is left
  EXPECT_EQ(Read().limit, 100 * kMiB);
  EXPECT_EQ(Read().available, 0U);
}

TEST_F(ProcessMemoryOf, AMachineTighterThanItsCgroup) {
  Write("proc/self/cgroup", "0::/\n");
  Write("sys/fs/cgroup/memory.max", "17179869184\n");
  Write("sys/fs/cgroup/memory.current", "1000\n");
  EXPECT_EQ(Read().limit, 8000 * kMiB);
  EXPECT_EQ(Read().available, 6000 * kMiB);
}

TEST(ProcessMemory, OfASystemThatTellsNothing) {
  const testing::TempDir empty;
  const ProcessMemory memory = ReadProcessMemory(empty.path());
  EXPECT_EQ(memory.resident, 0U);
  EXPECT_EQ(memory.limit, 0U);
  EXPECT_EQ(memory.available, 0U);
}

TEST(ProcessMemory, OfThisProcess) {
  const ProcessMemory memory = ReadProcessMemory();
  EXPECT_GT(memory.resident, kMiB);
  EXPECT_LT(memory.resident, memory.limit);
  EXPECT_LE(memory.available, memory.limit);
}

}  // namespace
}  // namespace quern
