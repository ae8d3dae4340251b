// A regular expression of the operator's, matched over texts of strangers.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "gguf/base/result.h"

namespace quern {

/// Copies share what was compiled. Find takes at most some hundredths of a second, whatever pattern
/// and text are. Thread-safe.
class Pattern {
 public:
  enum class Case : uint8_t { kExact, kIgnored };

  /// PCRE2's syntax, for text in UTF-8. Errors: kInvalidArgument with the place in `source`.
  static Result<Pattern> Compile(std::string_view source, Case letters = Case::kExact);

  enum class Outcome : uint8_t {
    kNotFound,
    kFound,
    kGivenUp,  ///< the pattern tries too many ways
  };
  Outcome Find(std::string_view text) const;

 private:
  struct Code;
  explicit Pattern(std::shared_ptr<const Code> code) : code_(std::move(code)) {}

  std::shared_ptr<const Code> code_;
};

}  // namespace quern
