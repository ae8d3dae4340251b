// Regular expressions of PCRE2: what is compiled, and what matching it may cost.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <string_view>
#include <utility>

#include "gguf/base/result.h"

namespace quern {

struct RegexOptions {
  bool is_utf8 = false;  ///< of code points, not bytes; what is no UTF-8 in a text matches nothing
  bool ignores_case = false;
  bool dollar_is_end = false;  ///< `$` does not match before a last newline
  bool counts_work = false;    ///< as RegexLimits::work needs it
};

/// Compiled; copies share it. Any thread may match.
class Regex {
 public:
  /// Errors: kInvalidArgument with the place in `source`.
  static Result<Regex> Compile(std::string_view source, const RegexOptions& options);

 private:
  friend class RegexMatcher;
  struct Code;
  explicit Regex(std::shared_ptr<const Code> code) : code_(std::move(code)) {}

  std::shared_ptr<const Code> code_;
};

struct RegexLimits {
  static constexpr uint32_t kNone = std::numeric_limits<uint32_t>::max();

  uint32_t steps = kNone;  ///< from one place of the text, of some nanoseconds each
  int64_t work = 0;        ///< steps and bytes passed over in one text; 0: no limit
};

/// What one thread needs to match, kept from one call to the next.
class RegexMatcher {
 public:
  explicit RegexMatcher(const RegexLimits& limits = {});
  ~RegexMatcher();
  RegexMatcher(const RegexMatcher&) = delete;
  RegexMatcher& operator=(const RegexMatcher&) = delete;

  enum class Outcome : uint8_t {
    kNotFound,
    kFound,
    kGivenUp,  ///< at a limit; without limits of one's own never
  };
  /// Looks for the first match in `text`.
  Outcome Find(const Regex& regex, std::string_view text);

  /// Where in the text the match that was found is.
  size_t begin() const;
  size_t end() const;

 private:
  struct Scratch;
  std::unique_ptr<Scratch> scratch_;
};

}  // namespace quern
