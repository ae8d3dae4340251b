#include "runtime/machine/process_memory.h"

#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <limits>
#include <optional>
#include <string>
#include <string_view>

#include "runtime/machine/cgroup.h"

namespace quern {
namespace {

using std::filesystem::path;

constexpr uint64_t kUnknown = std::numeric_limits<uint64_t>::max();
constexpr auto kWholeLine = std::numeric_limits<std::streamsize>::max();

/// The names by which a version of cgroups tells of memory.
struct CgroupMemoryFiles {
  const char* controller;
  const char* limit;
  const char* usage;
  const char* inactive_file;  ///< field of memory.stat
  const char* active_file;    ///< field of memory.stat
};

constexpr CgroupMemoryFiles kVersions[] = {
    {"", "memory.max", "memory.current", "inactive_file", "active_file"},
    {"memory", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file",
     "total_active_file"},
};

/// The number that a file begins with; none for "max" and where there is no file.
std::optional<uint64_t> ReadNumber(const path& name) {
  std::ifstream file(name);
  uint64_t number = 0;
  if (!(file >> number)) return std::nullopt;
  return number;
}

/// The number on the line that begins with `key`.
std::optional<uint64_t> ReadField(const path& name, std::string_view key) {
  std::ifstream file(name);
  uint64_t number = 0;
  for (std::string word; file >> word >> number; file.ignore(kWholeLine, '\n')) {
    if (word == key) return number;
  }
  return std::nullopt;
}

uint64_t ReadKibibytes(const path& meminfo, std::string_view key) {
  const std::optional<uint64_t> number = ReadField(meminfo, key);
  return number ? *number * 1024 : kUnknown;
}

uint64_t ReadResident(const path& root) {
  std::ifstream statm(root / "proc/self/statm");
  uint64_t total_pages = 0;
  uint64_t resident_pages = 0;
  statm >> total_pages >> resident_pages;
  return resident_pages * static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
}

/// Lowers limit and available to what the group with this folder allows.
void ApplyCgroup(const path& folder, const CgroupMemoryFiles& files, ProcessMemory* memory) {
  const std::optional<uint64_t> limit = ReadNumber(folder / files.limit);
  if (!limit) return;
  const path stat = folder / "memory.stat";
  const uint64_t usage = ReadNumber(folder / files.usage).value_or(0);
  // The kernel drops these pages before it runs out; without them a group that has only read a
  // large file would look full.
  const uint64_t file_pages = ReadField(stat, files.inactive_file).value_or(0) +
                              ReadField(stat, files.active_file).value_or(0);
  const uint64_t held = usage - std::min(usage, file_pages);
  memory->limit = std::min(memory->limit, *limit);
  memory->available = std::min(memory->available, *limit - std::min(*limit, held));
}

}  // namespace

ProcessMemory ReadProcessMemory(const path& root) {
  const path meminfo = root / "proc/meminfo";
  ProcessMemory memory;
  memory.resident = ReadResident(root);
  memory.limit = ReadKibibytes(meminfo, "MemTotal:");
  memory.available = ReadKibibytes(meminfo, "MemAvailable:");
  for (const CgroupMemoryFiles& files : kVersions) {
    for (const path& folder : CgroupFolders(root, files.controller)) {
      ApplyCgroup(folder, files, &memory);
    }
  }
  if (memory.limit == kUnknown) memory.limit = 0;
  if (memory.available == kUnknown) memory.available = 0;
  return memory;
}

}  // namespace quern
