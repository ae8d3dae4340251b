// Text and patterns over character classes: one byte a character, so that PCRE2 matches bytes and
// its Unicode tables play no part.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace quern {

/// What the patterns of one pre-tokenizer can tell apart. ASCII stands for itself. Any other
/// character becomes one byte: 0x0B (which \s matches) for whitespace, else 0x80 + 16 * its general
/// category + a bit for each of the sets of characters that the patterns name and that hold it.
class ClassAlphabet {
 public:
  /// Rewrites a pattern over Unicode text into one over class bytes: \p{L}, \p{M}, \p{N}, \p{P},
  /// \p{S} and \p{E} (letters outside ASCII) become ranges of bytes, and so do the non-ASCII
  /// characters of a bracket, which are a new
  /// set. Patterns are ours, so what it cannot rewrite is a broken invariant.
  std::string Translate(std::string_view pattern);

  /// The class bytes of canonical UTF-8 text. Every pattern must have been translated before.
  void AppendClasses(std::string_view text, std::string& classes) const;

 private:
  struct Range {
    char32_t first;
    char32_t last;
  };
  using Set = std::vector<Range>;

  char ClassOf(char32_t code_point) const;
  std::string AddSet(Set set);

  std::vector<Set> sets_;
};

}  // namespace quern
