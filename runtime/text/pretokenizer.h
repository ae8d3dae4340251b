// The first step of byte-level BPE: text is cut into the pieces that merges never cross.
#pragma once

#include <string_view>
#include <vector>

#include "gguf/base/regex.h"
#include "runtime/text/class_alphabet.h"
#include "runtime/text/pretokenizer_rules.h"

namespace quern {

/// Immutable; Split may be called from many threads.
class PreTokenizer {
 public:
  explicit PreTokenizer(const PreTokenizerRule& rule);

  /// Cuts canonical UTF-8 (CanonicalUtf8) into non-empty pieces, in order and without gaps. Linear
  /// in the length of the text.
  std::vector<std::string_view> Split(std::string_view text) const;

 private:
  ClassAlphabet alphabet_;
  std::vector<Regex> patterns_;  ///< over class bytes
};

}  // namespace quern
