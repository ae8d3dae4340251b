#include "runtime/machine/cgroup.h"

#include <fstream>
#include <string>

namespace quern {
namespace {

/// Does the comma-separated `list` hold `item`?
bool ListHolds(std::string_view list, std::string_view item) {
  while (true) {
    const size_t comma = list.find(',');
    if (list.substr(0, comma) == item) return true;
    if (comma == std::string_view::npos) return false;
    list.remove_prefix(comma + 1);
  }
}

/// The process's group as the lines ID:CONTROLLERS:PATH of /proc/self/cgroup tell it.
std::string GroupPath(const std::filesystem::path& root, std::string_view controller) {
  std::ifstream file(root / "proc/self/cgroup");
  for (std::string line; std::getline(file, line);) {
    const size_t first = line.find(':');
    const size_t second = line.find(':', first + 1);
    if (first == std::string::npos || second == std::string::npos) continue;
    const std::string_view controllers(line.data() + first + 1, second - first - 1);
    if (ListHolds(controllers, controller)) return line.substr(second + 1);
  }
  return "/";
}

}  // namespace

std::vector<std::filesystem::path> CgroupFolders(const std::filesystem::path& root,
                                                 std::string_view controller) {
  const std::filesystem::path top = root / "sys/fs/cgroup" / controller;
  std::vector<std::filesystem::path> folders;
  for (std::string path = GroupPath(root, controller); path.size() > 1;
       path.resize(path.find_last_of('/'))) {
    if (path.front() != '/') break;
    folders.push_back(top / path.substr(1));
  }
  folders.push_back(top);
  return folders;
}

}  // namespace quern
