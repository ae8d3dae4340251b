#include "gguf/base/pattern.h"

namespace quern {
namespace {

/// Work is counted rather than timed, so that a busy machine finds the same.
constexpr RegexLimits kLimits{.steps = 10'000, .work = 4'000'000};

}  // namespace

Result<Pattern> Pattern::Compile(std::string_view source, Case letters) {
  Result<Regex> regex = Regex::Compile(
      source, {.is_utf8 = true, .ignores_case = letters == Case::kIgnored, .counts_work = true});
  if (!regex) return Propagate(regex);
  return Pattern(*std::move(regex));
}

Pattern::Outcome Pattern::Find(std::string_view text) const {
  return RegexMatcher(kLimits).Find(regex_, text);
}

}  // namespace quern
