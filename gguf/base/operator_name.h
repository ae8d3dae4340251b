// Names that operators give to keys and rules, and that end in logs, metrics and headers.
#pragma once

#include <algorithm>
#include <cctype>
#include <cstddef>
#include <string_view>

namespace quern {

inline constexpr size_t kMaxOperatorNameBytes = 64;

/// Whether it has 1 to kMaxOperatorNameBytes letters, digits, '.', '_' and '-', and nothing else.
inline bool IsOperatorName(std::string_view name) {
  return !name.empty() && name.size() <= kMaxOperatorNameBytes &&
         std::all_of(name.begin(), name.end(), [](unsigned char c) {
           return std::isalnum(c) != 0 || c == '.' || c == '_' || c == '-';
         });
}

}  // namespace quern
