// Names of the files of a split set: PREFIX-00001-of-0000N.gguf.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace quern {

struct SplitName {
  std::string prefix;  ///< path up to the number, without the dash
  uint32_t number;     ///< from 1
  uint32_t count;
};

/// The parts of a path that names a file of a split set, or nothing when it does not.
std::optional<SplitName> ParseSplitName(std::string_view path);

/// Path of file `number` (from 1) of the set.
std::string SplitPath(std::string_view prefix, uint32_t number, uint32_t count);

}  // namespace quern
