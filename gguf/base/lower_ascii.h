// Names that are compared without regard to case: header fields, hosts, schemes.
#pragma once

#include <string>
#include <string_view>

namespace quern {

/// `text` with A to Z in lower case, whatever the locale.
inline std::string LowerAscii(std::string_view text) {
  std::string lower(text);
  for (char& c : lower) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c | 0x20);
  }
  return lower;
}

}  // namespace quern
