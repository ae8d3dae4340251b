// A made-up byte-level BPE vocabulary of any size in which every text has tokens and every token is
// reachable.
#pragma once

#include <cstdint>

#include "gguf/gguf_writer.h"

namespace quern {

/// Bytes, and special tokens of Llama 3's names.
inline constexpr uint32_t kMinSyntheticVocabulary = 256 + 5;

/// Sets the tokenizer.* keys of a vocabulary of `n_vocab` tokens (at least
/// kMinSyntheticVocabulary): the 256 bytes, the merges of early tokens with each other, and Llama
/// 3's special tokens at the end; and a chat template over these.
void SetSyntheticVocabulary(uint32_t n_vocab, GgufWriter& writer);

}  // namespace quern
