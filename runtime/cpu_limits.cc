#include "runtime/cpu_limits.h"

#include <sched.h>

#include <algorithm>
#include <fstream>
#include <sstream>
#include <string>
#include <thread>

namespace quern {
namespace {

std::string FirstLine(const std::string& path) {
  std::ifstream file(path);
  std::string line;
  std::getline(file, line);
  return line;
}

int AffinityCpus() {
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof set, &set) == 0) return CPU_COUNT(&set);
  return static_cast<int>(std::thread::hardware_concurrency());
}

/// The process's path in the hierarchy whose /proc/self/cgroup line has this prefix ("0::" for v2).
std::string CgroupPath(std::string_view prefix) {
  std::ifstream file("/proc/self/cgroup");
  for (std::string line; std::getline(file, line);) {
    const size_t at = line.find(prefix);
    if (at != std::string::npos) return line.substr(at + prefix.size());
  }
  return "/";
}

/// The tightest limit on the way from the process's group up to the root: each level may set its
/// own.
int CgroupV2Cpus() {
  int least = 0;
  std::string path = CgroupPath("0::");
  while (true) {
    const int cpus = CpusOfCpuMax(FirstLine("/sys/fs/cgroup" + path + "/cpu.max"));
    if (cpus > 0) least = least == 0 ? cpus : std::min(least, cpus);
    const size_t slash = path.find_last_of('/');
    if (path.size() <= 1 || slash == std::string::npos) return least;
    path.resize(slash);
  }
}

int CgroupV1Cpus() {
  const std::string base = "/sys/fs/cgroup/cpu";
  for (const std::string& path : {CgroupPath(":cpu,cpuacct:"), std::string("/")}) {
    const std::string quota = FirstLine(base + path + "/cpu.cfs_quota_us");
    const std::string period = FirstLine(base + path + "/cpu.cfs_period_us");
    if (!quota.empty() && quota[0] != '-') return CpusOfCpuMax(quota + " " + period);
  }
  return 0;
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

int AvailableThreads() {
  int cpus = std::max(AffinityCpus(), 1);
  for (const int limit : {CgroupV2Cpus(), CgroupV1Cpus()}) {
    if (limit > 0) cpus = std::min(cpus, limit);
  }
  return cpus;
}

}  // namespace quern
