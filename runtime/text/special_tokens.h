// Finds the texts of special tokens in a text, before anything else looks at it.
#pragma once

#include <cstddef>
#include <string_view>
#include <vector>

#include "runtime/text/vocabulary.h"

namespace quern {

/// A part of a text: one special token, or plain text without any.
struct TextFragment {
  static constexpr Token kPlainText = -1;
  Token token = kPlainText;
  std::string_view text;
};

/// Immutable; holds views of the vocabulary's texts.
class SpecialTokens {
 public:
  /// User-defined tokens alone, or with `include_control` control and unknown tokens too.
  SpecialTokens(const Vocabulary& vocabulary, bool include_control);

  /// Fragments of `text` in order; plain ones are not empty. Where texts of tokens overlap, the
  /// longest goes first, then the leftmost (llama.cpp's order).
  std::vector<TextFragment> Partition(std::string_view text) const;

 private:
  struct Special {
    std::string_view text;
    Token token;
    bool strips_spaces_after;
  };
  struct Occurrence {
    size_t begin;
    const Special* special;
  };

  std::vector<Occurrence> FindAll(std::string_view text) const;

  std::vector<Special> specials_;  // in the order of their texts
  std::vector<bool> starts_;       // by first byte: whether any text starts with it
};

}  // namespace quern
