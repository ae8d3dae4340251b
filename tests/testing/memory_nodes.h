// Machines with several memory nodes, told of in a folder.
#pragma once

#include <string>
#include <vector>

#include "runtime/machine/memory_nodes.h"
#include "tests/testing/cpus.h"
#include "tests/testing/temp_dir.h"
#include "tests/testing/write_file.h"

namespace quern::testing {

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

}  // namespace quern::testing
