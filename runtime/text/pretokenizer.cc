#include "runtime/text/pretokenizer.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <utility>

#include "gguf/base/check.h"
#include "gguf/base/utf8.h"

namespace quern {
namespace {

struct FreePcre2 {
  void operator()(pcre2_code* code) const { pcre2_code_free(code); }
  void operator()(pcre2_match_context* context) const { pcre2_match_context_free(context); }
  void operator()(pcre2_match_data* data) const { pcre2_match_data_free(data); }
};
template <typename T>
using Pcre2Ptr = std::unique_ptr<T, FreePcre2>;

}  // namespace

/// A compiled pattern over class bytes.
class PreTokenizer::Pattern {
 public:
  explicit Pattern(const std::string& source) {
    int error = 0;
    PCRE2_SIZE error_at = 0;
    code_.reset(pcre2_compile(reinterpret_cast<PCRE2_SPTR>(source.data()), source.size(),
                              PCRE2_DOLLAR_ENDONLY, &error, &error_at, nullptr));
    QUERN_DCHECK(code_ != nullptr);
    // Where PCRE2 has no JIT, its interpreter matches the same.
    pcre2_jit_compile(code_.get(), PCRE2_JIT_COMPLETE);
    // A run of a million spaces is fine: its backtracking is bounded by its length.
    context_.reset(pcre2_match_context_create(nullptr));
    pcre2_set_match_limit(context_.get(), std::numeric_limits<uint32_t>::max());
    pcre2_set_depth_limit(context_.get(), std::numeric_limits<uint32_t>::max());
  }

  struct Match {
    size_t begin;
    size_t end;
  };

  static Pcre2Ptr<pcre2_match_data> MakeMatchData() {
    return Pcre2Ptr<pcre2_match_data>(pcre2_match_data_create(1, nullptr));
  }

  /// The first match in text[from, to), which it sees as the whole text.
  std::optional<Match> Find(std::string_view text, size_t from, size_t to,
                            pcre2_match_data* data) const {
    const auto match = [&](uint32_t options) {
      return pcre2_match(code_.get(), reinterpret_cast<PCRE2_SPTR>(text.data() + from), to - from,
                         0, PCRE2_NO_UTF_CHECK | options, data, context_.get());
    };
    int rc = match(0);
    // The JIT's stack has an end; the interpreter takes from the heap.
    if (rc < 0 && rc != PCRE2_ERROR_NOMATCH) rc = match(PCRE2_NO_JIT);
    QUERN_DCHECK(rc >= 0 || rc == PCRE2_ERROR_NOMATCH);
    if (rc < 0) return std::nullopt;
    const PCRE2_SIZE* offsets = pcre2_get_ovector_pointer(data);
    return Match{from + offsets[0], from + offsets[1]};
  }

 private:
  Pcre2Ptr<pcre2_code> code_;
  Pcre2Ptr<pcre2_match_context> context_;
};

PreTokenizer::PreTokenizer(const PreTokenizerRule& rule) {
  patterns_.reserve(rule.patterns.size());
  for (const std::string& pattern : rule.patterns) {
    patterns_.emplace_back(alphabet_.Translate(pattern));
  }
}

PreTokenizer::PreTokenizer(PreTokenizer&&) noexcept = default;
PreTokenizer& PreTokenizer::operator=(PreTokenizer&&) noexcept = default;
PreTokenizer::~PreTokenizer() = default;

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
  for (const Pattern& pattern : patterns_) {
    const auto data = Pattern::MakeMatchData();
    finer_ends.clear();
    finer_ends.reserve(ends.size() + text.size() / 4);
    size_t at = 0;
    for (const size_t end : ends) {
      while (at < end) {
        const auto match = pattern.Find(classes, at, end, data.get());
        if (!match) {
          finer_ends.push_back(end);
          at = end;
          break;
        }
        QUERN_DCHECK(match->end > at);
        if (match->begin > at) finer_ends.push_back(match->begin);
        finer_ends.push_back(match->end);
        at = match->end;
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
