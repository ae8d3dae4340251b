// The tokens of a GGUF file: texts, scores, kinds, and which of them have a role.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "gguf/base/result.h"
#include "gguf/gguf_file.h"
#include "runtime/text/text_index.h"
#include "runtime/text/token.h"

namespace quern {

enum class VocabularyModel : uint8_t {
  kByteLevelBpe,   ///< tokenizer.ggml.model "gpt2"
  kSentencePiece,  ///< "llama"
};

/// tokenizer.ggml.token_type, numbered as in the file.
enum class TokenType : uint8_t {
  kUndefined = 0,
  kNormal = 1,
  kUnknown = 2,
  kControl = 3,
  kUserDefined = 4,
  kUnused = 5,
  kByte = 6,
};

/// Immutable after Load. Owns its texts: the file may go.
class Vocabulary {
 public:
  /// Errors: kNotFound and kCorruptFile name the key and, of arrays, the index. As llama.cpp, it
  /// takes the id of a special token that is outside the vocabulary for "none", since converters
  /// write -1 for that.
  static Result<Vocabulary> Load(const GgufFile& file);

  VocabularyModel model() const { return model_; }
  size_t size() const { return texts_.size(); }
  bool Contains(Token token) const { return token >= 0 && static_cast<size_t>(token) < size(); }

  /// As in the file. Views stay valid when the vocabulary moves.
  std::string_view Text(Token token) const { return texts_[token]; }
  TokenType Type(Token token) const { return types_[token]; }
  /// 0 in files without scores.
  float Score(Token token) const { return scores_.empty() ? 0 : scores_[token]; }
  /// The byte that a token of type kByte stands for ("<0x0A>").
  char Byte(Token token) const;
  std::optional<Token> Find(std::string_view text) const;

  /// Whether spaces after a special token's text belong to it (Phi-3).
  bool StripsSpacesAfter(Token token) const;

  std::optional<Token> bos() const { return bos_; }
  std::optional<Token> eos() const { return eos_; }
  std::optional<Token> unknown() const { return unknown_; }
  /// What the file says, if it does.
  std::optional<bool> add_bos() const { return add_bos_; }
  bool add_eos() const { return add_eos_; }
  bool add_space_prefix() const { return add_space_prefix_; }
  bool IsEndOfGeneration(Token token) const;

 private:
  class Loader;
  Vocabulary() = default;

  VocabularyModel model_ = VocabularyModel::kByteLevelBpe;
  std::vector<char> bytes_;  // of all texts
  std::vector<std::string_view> texts_;
  std::vector<TokenType> types_;
  std::vector<float> scores_;
  TextIndex index_;
  std::optional<Token> bos_;
  std::optional<Token> eos_;
  std::optional<Token> unknown_;
  std::optional<bool> add_bos_;
  bool add_eos_ = false;
  bool add_space_prefix_ = false;
  bool is_phi3_ = false;
  std::vector<Token> end_of_generation_;  // ascending
};

}  // namespace quern
