// How much memory this process holds, and how much the machine and its container let it have.
#pragma once

#include <cstdint>
#include <filesystem>

namespace quern {

/// In bytes; 0 where the system does not tell.
struct ProcessMemory {
  uint64_t resident = 0;   ///< in RAM now, files that are mapped included
  uint64_t limit = 0;      ///< the machine's RAM or the tightest cgroup limit, whichever is less
  uint64_t available = 0;  ///< what can still be taken without swapping: of the machine, and of
                           ///< every cgroup, where pages of files count as free
};

/// `root`: "/", or a folder with other proc/ and sys/ in it.
ProcessMemory ReadProcessMemory(const std::filesystem::path& root = "/");

}  // namespace quern
