// Machines with several memory nodes, told of in a folder, and threads kept on one CPU.
#pragma once

#include <gtest/gtest.h>
#include <sched.h>

#include <string>
#include <vector>

#include "runtime/memory_nodes.h"
#include "tests/testing/temp_dir.h"
#include "tests/testing/write_file.h"

namespace quern::testing {

/// CPUs that this process may use, by the system's numbers.
inline std::vector<int> AllowedCpus() {
  cpu_set_t allowed;
  EXPECT_EQ(sched_getaffinity(0, sizeof allowed, &allowed), 0);
  std::vector<int> cpus;
  for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
    if (CPU_ISSET(cpu, &allowed)) cpus.push_back(cpu);
  }
  return cpus;
}

/// The nodes of a machine that lists these CPUs for node 0, 1, ...
inline MemoryNodes NodesOf(const std::vector<std::string>& cpu_lists) {
  const TempDir root;
  for (size_t node = 0; node < cpu_lists.size(); ++node) {
    WriteFile(root.File("sys/devices/system/node/node" + std::to_string(node) + "/cpulist"),
              cpu_lists[node] + "\n");
  }
  return MemoryNodes::OfMachine(root.path());
}

/// A node with one of this process's CPUs, and one with all the others; there must be two.
inline MemoryNodes TwoNodes() {
  const std::string first = std::to_string(AllowedCpus().front());
  return NodesOf({first, std::to_string(AllowedCpus()[1]) + "-1023"});
}

/// Keeps the calling thread on one CPU.
class OnCpu {
 public:
  explicit OnCpu(int cpu) {
    EXPECT_EQ(sched_getaffinity(0, sizeof before_, &before_), 0);
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(cpu, &one);
    EXPECT_EQ(sched_setaffinity(0, sizeof one, &one), 0);
  }
  OnCpu(const OnCpu&) = delete;
  OnCpu& operator=(const OnCpu&) = delete;
  ~OnCpu() { EXPECT_EQ(sched_setaffinity(0, sizeof before_, &before_), 0); }

 private:
  cpu_set_t before_;
};

}  // namespace quern::testing
