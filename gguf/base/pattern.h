// A regular expression of the operator's, matched over texts of strangers.
#pragma once

#include <cstdint>
#include <string_view>
#include <utility>

#include "gguf/base/regex.h"
#include "gguf/base/result.h"

namespace quern {

/// Copies share what was compiled. Find takes at most some hundredths of a second, whatever pattern
/// and text are. Thread-safe.
class Pattern {
 public:
  enum class Case : uint8_t { kExact, kIgnored };

  /// PCRE2's syntax, for text in UTF-8. Errors: kInvalidArgument with the place in `source`.
  static Result<Pattern> Compile(std::string_view source, Case letters = Case::kExact);

  /// kGivenUp: the pattern tries too many ways.
  using Outcome = RegexMatcher::Outcome;
  Outcome Find(std::string_view text) const;

 private:
  explicit Pattern(Regex regex) : regex_(std::move(regex)) {}

  Regex regex_;
};

}  // namespace quern
