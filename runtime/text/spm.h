// SentencePiece-style encoding: merges the neighbours whose joined text is the token of the highest
// score until none is left.
#pragma once

#include <cstddef>
#include <string_view>
#include <vector>

#include "runtime/text/vocabulary.h"

namespace quern {

/// Immutable; refers to the vocabulary given to it.
class SpmModel {
 public:
  explicit SpmModel(const Vocabulary& vocabulary);

  static constexpr std::string_view kEscapedSpace = "\u2581";

  /// Appends the tokens of `text`, whose spaces are escaped, with at most 4 GB between two. O(n log
  /// n) in the longest stretch without spaces, linear in the text. A character without a token
  /// becomes its byte tokens; a byte without one, the unknown token.
  void Encode(std::string_view text, std::vector<Token>& out) const;

 private:
  struct Workspace;

  /// Where the part of `text` that starts at `begin` ends: no token crosses the ends of parts, so
  /// each can be merged on its own.
  size_t EndOfPart(std::string_view text, size_t begin) const;
  void EncodePart(std::string_view text, Workspace& workspace, std::vector<Token>& out) const;

  const Vocabulary* vocabulary_;
  bool joins_space_[256] = {};  // by byte: whether a token has an escaped space after it
  size_t longest_token_ = 0;    // bytes
  Token token_of_byte_[256];
};

}  // namespace quern
