// How many threads this process may use, as the machine and its container set it.
#pragma once

#include <filesystem>
#include <string_view>

namespace quern {

/// CPUs that affinity, cgroup v2 `cpu.max` and cgroup v1 CFS quota allow, whichever is least; at
/// least 1.
int AvailableThreads();

/// Cores that have one of the CPUs that affinity allows, as `root`/sys tells which CPUs share one;
/// at least 1. `root`: "/", or a folder with another sys/ in it.
int AllowedCores(const std::filesystem::path& root = "/");

/// CPUs that a cgroup v2 `cpu.max` line ("200000 100000", "max 100000") allows, rounded up; 0 means
/// no limit.
int CpusOfCpuMax(std::string_view line);

}  // namespace quern
