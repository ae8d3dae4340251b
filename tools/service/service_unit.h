// The text of a systemd unit that runs `quern serve`, with no more rights than it needs.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "gguf/base/result.h"
#include "tools/service/service_copies.h"

namespace quern {

/// Paths are absolute.
struct ServiceUnit {
  std::string executable;
  std::vector<std::string> arguments;       ///< the executable's; options begin with "--"
  std::vector<ServiceFile> copied_files;    ///< at the start and at a reload, by root
  bool can_reload = false;                  ///< it takes SIGHUP
  bool has_several = false;                 ///< models, which a reload checks first
  std::string user;                         ///< empty: one that exists while the service runs
  std::vector<std::string> needed_files;    ///< whose file systems are mounted first
  std::vector<std::string> revealed_files;  ///< alone to be seen in folders that are else empty
  std::string host = "127.0.0.1";           ///< that it listens on
  bool calls_out = false;                   ///< it sends to other machines by itself
  std::string log_folder;                   ///< in /var/log, which systemd makes; empty: none
  std::string state_folder;                 ///< in /var/lib, likewise
  bool has_low_port = false;                ///< which takes a right of its own
  uint64_t memory_max = 0;                  ///< bytes
  std::chrono::seconds start_timeout{0};
  std::chrono::seconds stop_timeout{0};
  std::chrono::seconds watchdog{0};
};

/// Errors: kInvalidArgument naming a path that a unit cannot hold: with a quote, a backslash, a
/// control character or bytes that are not UTF-8.
Result<std::string> UnitText(const ServiceUnit& unit);

/// Whether the unit hides what lies at `path`, unless it is revealed: home folders, and those for
/// temporary files, of which the service has its own.
bool IsHiddenByUnit(std::string_view path);

/// `argument` as a word of a command line in a unit. The line's executable has the prefix ":", so
/// that $ stands for itself.
std::string UnitWord(std::string_view argument);

}  // namespace quern
