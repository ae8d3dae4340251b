#include "runtime/machine/cpu_limits.h"

#include <sched.h>

#include <algorithm>
#include <filesystem>
#include <set>
#include <sstream>
#include <string>
#include <thread>

#include "gguf/base/first_line.h"
#include "runtime/machine/cgroup.h"

namespace quern {
namespace {

int AffinityCpus() {
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof set, &set) == 0) return CPU_COUNT(&set);
  return static_cast<int>(std::thread::hardware_concurrency());
}

/// The tightest limit on the way from the process's group up to the root.
int CgroupV2Cpus() {
  int least = 0;
  for (const std::filesystem::path& folder : CgroupFolders("/", "")) {
    const int cpus = CpusOfCpuMax(FirstLine(folder / "cpu.max"));
    if (cpus > 0) least = least == 0 ? cpus : std::min(least, cpus);
  }
  return least;
}

int CgroupV1Cpus() {
  int least = 0;
  for (const std::filesystem::path& folder : CgroupFolders("/", "cpu")) {
    const std::string quota = FirstLine(folder / "cpu.cfs_quota_us");
    const std::string period = FirstLine(folder / "cpu.cfs_period_us");
    const int cpus = CpusOfCpuMax(quota + " " + period);
    if (cpus > 0) least = least == 0 ? cpus : std::min(least, cpus);
  }
  return least;
}

}  // namespace

int CpusOfCpuMax(std::string_view line) {
  std::istringstream stream{std::string(line)};
  double quota = 0;
  double period = 0;
  if (!(stream >> quota >> period) || quota <= 0 || period <= 0) return 0;
  const double cpus = quota / period;
  const int whole = static_cast<int>(std::min(cpus, 1e6));
  return whole < cpus ? whole + 1 : whole;
}

int AllowedCores(const std::filesystem::path& root) {
  cpu_set_t allowed;
  if (sched_getaffinity(0, sizeof allowed, &allowed) != 0) return AffinityCpus();
  std::set<std::string> cores;
  for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
    if (!CPU_ISSET(cpu, &allowed)) continue;
    const std::string name = "cpu" + std::to_string(cpu);
    const std::string siblings =
        FirstLine(root / "sys/devices/system/cpu" / name / "topology/thread_siblings_list");
    cores.insert(siblings.empty() ? name : siblings);
  }
  return std::max(static_cast<int>(cores.size()), 1);
}

int AvailableThreads() {
  int cpus = std::max(AffinityCpus(), 1);
  for (const int limit : {CgroupV2Cpus(), CgroupV1Cpus()}) {
    if (limit > 0) cpus = std::min(cpus, limit);
  }
  return cpus;
}

}  // namespace quern
