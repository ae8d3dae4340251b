// The pre-tokenizers that Quern knows: one row each. This is the one place to add another.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace quern {

/// How byte-level BPE cuts text before it merges, and the defaults that go with it.
struct PreTokenizerRule {
  /// Values of tokenizer.ggml.pre, the original one first.
  std::vector<std::string_view> names;
  /// Applied in order, each within the pieces that the ones before it left: what a pattern matches
  /// is a piece, and so is what lies between two matches. Perl syntax; of Unicode properties,
  /// \p{L}, \p{M}, \p{N}, \p{P}, \p{S}, and \p{E} for letters outside ASCII; non-ASCII characters
  /// only within brackets.
  std::vector<std::string> patterns;
  /// A piece that is a token in the vocabulary is that token, whatever the merges say.
  bool ignore_merges = false;
  /// Whether BOS goes first in files that do not say.
  bool add_bos = false;
};

/// Null for an unknown name.
const PreTokenizerRule* FindPreTokenizerRule(std::string_view name);

/// All names, for messages.
std::string KnownPreTokenizers();

}  // namespace quern
