// The general category of a code point, as coarse as pre-tokenizer patterns need it.
#pragma once

#include <cstdint>

namespace quern {

enum class UnicodeCategory : uint8_t {
  kLetter,
  kMark,
  kNumber,
  kPunctuation,
  kSymbol,
  kOther,
  kWhitespace,  ///< property White_Space, whatever the general category
};

/// By Unicode 15.1, whose tables llama.cpp has; not by the system's PCRE2, whose Unicode version
/// differs between distributions. Values above U+10FFFF are kOther.
UnicodeCategory CategoryOf(char32_t code_point);

}  // namespace quern
