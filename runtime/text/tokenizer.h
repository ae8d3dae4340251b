// Text to tokens and back, from the vocabulary in a GGUF file: byte-level BPE and
// SentencePiece-style vocabularies.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "gguf/base/result.h"
#include "gguf/gguf_file.h"
#include "runtime/text/token.h"  // IWYU pragma: export

namespace quern {

struct EncodeOptions {
  bool add_special = true;     ///< put BOS before and EOS after, where the vocabulary says so
  bool parse_special = false;  ///< read the text of control tokens ("<|eot_id|>") as those tokens
};

/// Immutable after Load; all methods may be called from many threads.
class Tokenizer {
 public:
  /// Errors: kUnsupported names the model or pre-tokenizer, kCorruptFile the key that is off.
  static Result<Tokenizer> Load(const GgufFile& file);

  Tokenizer(Tokenizer&&) noexcept;
  Tokenizer& operator=(Tokenizer&&) noexcept;
  ~Tokenizer();

  /// Any bytes are accepted, invalid UTF-8 included. Linear in the length of the text.
  std::vector<Token> Encode(std::string_view text, const EncodeOptions& options = {}) const;

  /// The bytes of one token; control tokens are empty unless `render_special`. Ids outside the
  /// vocabulary are empty.
  std::string Piece(Token token, bool render_special = false) const;

  /// The bytes of a sequence: its pieces in a row, without the space that an SPM vocabulary puts
  /// before the first word. So Decode gives back what Encode was given, if it was valid UTF-8;
  /// llama.cpp's detokenizer also deletes spaces before punctuation, which loses text.
  std::string Decode(std::span<const Token> tokens, bool render_special = false) const;

  size_t n_vocab() const;
  std::optional<Token> bos() const;
  std::optional<Token> eos() const;
  bool add_bos() const;
  /// Whether a sequence's text starts with a space that was not in the text it came from.
  bool DropsLeadingSpace() const;
  /// Tokens that end an answer: EOS, end of turn, end of message.
  bool IsEndOfGeneration(Token token) const;

 private:
  struct Impl;
  explicit Tokenizer(std::unique_ptr<const Impl> impl);
  std::unique_ptr<const Impl> impl_;
};

/// Turns the tokens of an answer into text that is whole UTF-8 at every step. An answer follows a
/// prompt, so a space that it begins with belongs to it, in SPM vocabularies too.
class StreamingDetokenizer {
 public:
  explicit StreamingDetokenizer(const Tokenizer& tokenizer) : tokenizer_(&tokenizer) {}

  /// Text that is complete with this token: never ends inside a UTF-8 sequence; invalid bytes
  /// become U+FFFD.
  std::string Add(Token token);
  /// What was held back: an unfinished sequence becomes U+FFFD.
  std::string Finish();

 private:
  const Tokenizer* tokenizer_;
  std::string pending_;
};

}  // namespace quern
