#include "runtime/text/pretokenizer.h"

#include <algorithm>
#include <cstddef>
#include <utility>

#include "gguf/base/check.h"
#include "gguf/base/utf8.h"

namespace quern {
PreTokenizer::PreTokenizer(const PreTokenizerRule& rule) {
  patterns_.reserve(rule.patterns.size());
  for (const std::string& pattern : rule.patterns) {
    // A run of a million spaces is fine: its backtracking is bounded by its length.
    Result<Regex> regex = Regex::Compile(alphabet_.Translate(pattern), {.dollar_is_end = true});
    QUERN_DCHECK(regex.has_value());
    patterns_.push_back(*std::move(regex));
  }
}

std::vector<std::string_view> PreTokenizer::Split(std::string_view text) const {
  if (text.empty()) return {};
  // Class bytes of ASCII text are the text itself.
  const bool is_ascii = std::all_of(text.begin(), text.end(), [](char c) { return c >= 0; });
  std::string translated;
  if (!is_ascii) {
    translated.reserve(text.size());
    alphabet_.AppendClasses(text, translated);
  }
  const std::string_view classes = is_ascii ? text : std::string_view(translated);

  std::vector<size_t> ends = {classes.size()};
  std::vector<size_t> finer_ends;
  RegexMatcher matcher;
  for (const Regex& pattern : patterns_) {
    finer_ends.clear();
    finer_ends.reserve(ends.size() + text.size() / 4);
    size_t at = 0;
    for (const size_t end : ends) {
      while (at < end) {
        // What lies between two ends is seen as a whole text.
        const auto found = matcher.Find(pattern, classes.substr(at, end - at));
        if (found != RegexMatcher::Outcome::kFound) {
          QUERN_DCHECK(found == RegexMatcher::Outcome::kNotFound);
          finer_ends.push_back(end);
          at = end;
          break;
        }
        QUERN_DCHECK(matcher.end() > 0);
        if (matcher.begin() > 0) finer_ends.push_back(at + matcher.begin());
        at += matcher.end();
        finer_ends.push_back(at);
      }
    }
    std::swap(ends, finer_ends);
  }

  std::vector<std::string_view> pieces;
  pieces.reserve(ends.size());
  size_t begin = 0;
  size_t begin_byte = 0;
  for (const size_t end : ends) {
    size_t end_byte = begin_byte + (end - begin);
    if (!is_ascii) {
      end_byte = begin_byte;
      for (size_t i = begin; i < end; ++i) end_byte += Utf8Length(text[end_byte]);
    }
    pieces.push_back(text.substr(begin_byte, end_byte - begin_byte));
    begin = end;
    begin_byte = end_byte;
  }
  return pieces;
}

}  // namespace quern
