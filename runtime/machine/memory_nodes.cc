#include "runtime/machine/memory_nodes.h"

#include <sched.h>

#include <algorithm>
#include <charconv>
#include <map>
#include <string>
#include <string_view>
#include <system_error>

#include "gguf/base/first_line.h"

namespace quern {
namespace {

/// The CPUs of a list as the kernel writes it, "0-3,8": those that fit in a cpu_set_t.
std::vector<size_t> CpusOfList(std::string_view list) {
  std::vector<size_t> cpus;
  while (!list.empty()) {
    const std::string_view part = list.substr(0, list.find(','));
    list.remove_prefix(std::min(list.size(), part.size() + 1));
    size_t first = 0;
    const auto [end, error] = std::from_chars(part.data(), part.data() + part.size(), first);
    if (error != std::errc()) break;
    size_t last = first;
    if (end != part.data() + part.size() && *end == '-') {
      std::from_chars(end + 1, part.data() + part.size(), last);
    }
    for (size_t cpu = first; cpu <= last && cpu < CPU_SETSIZE; ++cpu) cpus.push_back(cpu);
  }
  return cpus;
}

}  // namespace

MemoryNodes MemoryNodes::OfMachine(const std::filesystem::path& root) {
  MemoryNodes nodes;
  cpu_set_t allowed;
  if (sched_getaffinity(0, sizeof allowed, &allowed) != 0) return nodes;
  std::map<std::string, std::vector<size_t>> cpus_of_node;
  std::error_code error;
  for (const auto& entry :
       std::filesystem::directory_iterator(root / "sys/devices/system/node", error)) {
    if (!entry.path().filename().string().starts_with("node")) continue;
    std::vector<size_t> cpus = CpusOfList(FirstLine(entry.path() / "cpulist"));
    std::erase_if(cpus, [&](size_t cpu) { return !CPU_ISSET(cpu, &allowed); });
    if (!cpus.empty()) cpus_of_node.emplace(entry.path().filename(), std::move(cpus));
  }
  if (cpus_of_node.size() < 2) return nodes;
  nodes.node_of_cpu_.assign(CPU_SETSIZE, 0);
  nodes.first_cpu_ = {0};
  for (const auto& [name, cpus] : cpus_of_node) {
    for (const size_t cpu : cpus) nodes.node_of_cpu_[cpu] = nodes.size();
    nodes.first_cpu_.push_back(nodes.first_cpu_.back() + cpus.size());
  }
  return nodes;
}

size_t MemoryNodes::Current() const {
  if (node_of_cpu_.empty()) return 0;
  const int cpu = sched_getcpu();
  return cpu >= 0 && cpu < CPU_SETSIZE ? node_of_cpu_[static_cast<size_t>(cpu)] : 0;
}

std::pair<size_t, size_t> MemoryNodes::Share(size_t n, size_t node, size_t unit) const {
  const auto border = [&](size_t of) {
    return of == size() ? n : n / unit * first_cpu_[of] / first_cpu_.back() * unit;
  };
  return {border(node), border(node + 1)};
}

}  // namespace quern
