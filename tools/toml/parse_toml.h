// Parses TOML that may be bad in any way, with errors that are one printable line.
#pragma once

#include <string>
#include <string_view>

#include "gguf/base/result.h"
#include "tools/toml/toml.h"

namespace quern {

/// Why a text is no TOML, and where.
struct TomlError {
  std::string message;
  toml::source_position at;
};

/// The most parts of a key: 2 in `limits.rate`.
inline constexpr size_t kMostTomlKeyParts = 16;

tl::expected<toml::table, TomlError> ParseToml(std::string_view text);

}  // namespace quern
