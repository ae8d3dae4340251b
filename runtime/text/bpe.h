// Byte-pair encoding of one piece of text: merges the pair of lowest rank until none is left.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <string>
#include <string_view>
#include <vector>

#include "gguf/base/result.h"
#include "gguf/gguf_file.h"
#include "runtime/text/text_index.h"
#include "runtime/text/vocabulary.h"

namespace quern {

/// Immutable after Load. Works on bytes: the printable spelling of tokens in the file is undone at
/// load, and no text is built while encoding.
class BpeModel {
 public:
  /// `ignore_merges`: a piece that is a token is that token. Errors: kNotFound without
  /// tokenizer.ggml.merges, kCorruptFile naming a merge that is not two spelled texts.
  ///
  /// Merges may name texts that are not in the vocabulary, as in llama.cpp: such a symbol can be
  /// merged further, and if it is left over, its bytes are looked up one by one.
  static Result<BpeModel> Load(const GgufFile& file, const Vocabulary& vocabulary,
                               bool ignore_merges);

  /// Working memory of Encode, kept between pieces.
  struct Workspace {
    struct Symbol {
      int32_t id;
      uint32_t previous;
      uint32_t next;
      uint32_t rank;  // of the merge with the next symbol
    };
    std::vector<Symbol> symbols;
    std::vector<uint64_t> candidates;
  };

  /// Appends the tokens of `piece`, at most 4 GB. O(n log n) in its length. Bytes without a token
  /// are dropped, as by llama.cpp.
  void Encode(std::string_view piece, Workspace& workspace, std::vector<Token>& out) const;

  /// The bytes that a normal token stands for. Characters outside the byte alphabet stand for
  /// themselves.
  std::string_view Bytes(Token token) const { return symbol_bytes_[token]; }

 private:
  BpeModel(const Vocabulary& vocabulary, size_t n_merges);

  struct Merge {
    uint64_t pair;  // left id << 32 | right id
    uint32_t rank;
    int32_t merged;
  };

  int32_t AddSymbol(std::string_view bytes);
  const Merge* FindMerge(int32_t left, int32_t right) const;
  void AddMerge(int32_t left, int32_t right, uint32_t rank, int32_t merged);
  void AppendToken(int32_t symbol, std::vector<Token>& out) const;

  bool ignore_merges_ = false;
  size_t n_tokens_;
  /// Ids below n_tokens_ are tokens; above, symbols that only merges know.
  std::deque<std::string> owned_bytes_;
  std::vector<std::string_view> symbol_bytes_;
  TextIndex symbols_;
  int32_t symbol_of_byte_[256];
  /// What a byte becomes when the symbol that holds it has no token: only bytes that spell
  /// themselves are found there.
  Token fallback_of_byte_[256];
  std::vector<Merge> merges_;  // open addressing, at most two thirds full
};

}  // namespace quern
