// SentencePiece-style encoding: merges the neighbours whose joined text is the token of the highest
// score until none is left.
#pragma once

#include <cstddef>
#include <string_view>
#include <vector>

#include "runtime/vocabulary.h"

namespace quern {

/// Immutable; refers to the vocabulary given to it.
class SpmModel {
 public:
  explicit SpmModel(const Vocabulary& vocabulary);

  /// Appends the tokens of `text`, whose spaces are escaped (U+2581), at most 4 GB. O(n log n) in
  /// its length. A character without a token becomes its byte tokens; a byte without one, the
  /// unknown token.
  void Encode(std::string_view text, std::vector<Token>& out) const;

 private:
  const Vocabulary* vocabulary_;
  size_t longest_token_ = 0;  // bytes
  Token token_of_byte_[256];
};

}  // namespace quern
