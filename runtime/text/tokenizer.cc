#include "runtime/text/tokenizer.h"

#include <utility>
#include <variant>

#include "gguf/base/utf8.h"
#include "runtime/text/bpe.h"
#include "runtime/text/pretokenizer.h"
#include "runtime/text/pretokenizer_rules.h"
#include "runtime/text/special_tokens.h"
#include "runtime/text/spm.h"
#include "runtime/text/vocabulary.h"

namespace quern {
namespace {

constexpr std::string_view kEscapedSpace = SpmModel::kEscapedSpace;

std::string ReplaceAll(std::string_view text, std::string_view what, std::string_view with) {
  std::string out;
  out.reserve(text.size() + text.size() / 2);
  size_t at = 0;
  for (size_t found = text.find(what); found != std::string_view::npos;
       found = text.find(what, at)) {
    out.append(text, at, found - at);
    out += with;
    at = found + what.size();
  }
  out.append(text, at);
  return out;
}

/// Byte-level BPE: repair, cut, merge.
class BpeEncoder {
 public:
  static Result<BpeEncoder> Load(const GgufFile& file, const Vocabulary& vocabulary) {
    auto name = file.GetStringOr("tokenizer.ggml.pre", "default");
    if (!name) return Propagate(name);
    const PreTokenizerRule* rule = FindPreTokenizerRule(*name);
    if (rule == nullptr) {
      return Fail(ErrorCode::kUnsupported, "{}: unknown tokenizer.ggml.pre '{}'; known are {}",
                  file.name(), *name, KnownPreTokenizers());
    }
    auto model = BpeModel::Load(file, vocabulary, rule->ignore_merges);
    if (!model) return Propagate(model);
    return BpeEncoder(*rule, std::move(*model));
  }

  bool add_bos_by_default() const { return add_bos_; }

  void Encode(std::string_view text, bool /*follows_token*/, std::vector<Token>& out) const {
    std::string repaired;
    BpeModel::Workspace workspace;
    for (const std::string_view piece : pretokenizer_.Split(CanonicalUtf8(text, repaired))) {
      model_.Encode(piece, workspace, out);
    }
  }

  std::string NormalPiece(const Vocabulary& /*vocabulary*/, Token token) const {
    return std::string(model_.Bytes(token));
  }

 private:
  BpeEncoder(const PreTokenizerRule& rule, BpeModel model)
      : add_bos_(rule.add_bos), pretokenizer_(rule), model_(std::move(model)) {}

  bool add_bos_;
  PreTokenizer pretokenizer_;
  BpeModel model_;
};

/// SentencePiece: escape spaces, merge.
class SpmEncoder {
 public:
  explicit SpmEncoder(const Vocabulary& vocabulary)
      : add_space_prefix_(vocabulary.add_space_prefix()), model_(vocabulary) {}

  static bool add_bos_by_default() { return true; }

  void Encode(std::string_view text, bool follows_token, std::vector<Token>& out) const {
    std::string escaped = ReplaceAll(text, " ", kEscapedSpace);
    if (add_space_prefix_ && follows_token) escaped.insert(0, kEscapedSpace);
    model_.Encode(escaped, out);
  }

  static std::string NormalPiece(const Vocabulary& vocabulary, Token token) {
    return ReplaceAll(vocabulary.Text(token), kEscapedSpace, " ");
  }

 private:
  bool add_space_prefix_;
  SpmModel model_;
};

}  // namespace

struct Tokenizer::Impl {
  using Encoder = std::variant<BpeEncoder, SpmEncoder>;

  /// `vocabulary` is where it stays, since the other members refer to it.
  static Result<std::unique_ptr<const Impl>> Load(const GgufFile& file) {
    auto vocabulary = Vocabulary::Load(file);
    if (!vocabulary) return Propagate(vocabulary);
    auto owned = std::make_unique<const Vocabulary>(std::move(*vocabulary));
    if (owned->model() == VocabularyModel::kSentencePiece) {
      SpmEncoder encoder(*owned);
      return std::make_unique<const Impl>(std::move(owned), encoder);
    }
    auto encoder = BpeEncoder::Load(file, *owned);
    if (!encoder) return Propagate(encoder);
    return std::make_unique<const Impl>(std::move(owned), std::move(*encoder));
  }

  Impl(std::unique_ptr<const Vocabulary> owned, Encoder given_encoder)
      : vocabulary(std::move(owned)),
        user_defined(*vocabulary, false),
        all_special(*vocabulary, true),
        encoder(std::move(given_encoder)) {
    const bool adds_by_default =
        std::visit([](const auto& e) { return e.add_bos_by_default(); }, encoder);
    add_bos = vocabulary->bos() && vocabulary->add_bos().value_or(adds_by_default);
    piece_ends.reserve(vocabulary->size());
    for (size_t i = 0; i < vocabulary->size(); ++i) {
      pieces += MakePiece(static_cast<Token>(i));
      piece_ends.push_back(pieces.size());
    }
  }

  std::string MakePiece(Token token) const {
    switch (vocabulary->Type(token)) {
      case TokenType::kNormal:
        return std::visit([&](const auto& e) { return e.NormalPiece(*vocabulary, token); },
                          encoder);
      case TokenType::kByte:
        return {vocabulary->Byte(token)};
      case TokenType::kUnknown:
      case TokenType::kControl:
      case TokenType::kUserDefined:
        return std::string(vocabulary->Text(token));
      case TokenType::kUndefined:
      case TokenType::kUnused:
        break;
    }
    return {};
  }

  bool IsHidden(Token token) const {
    const TokenType type = vocabulary->Type(token);
    return type == TokenType::kControl || type == TokenType::kUnknown;
  }

  std::string_view Piece(Token token, bool render_special) const {
    if (!vocabulary->Contains(token) || (!render_special && IsHidden(token))) return {};
    const size_t begin = token == 0 ? 0 : piece_ends[token - 1];
    return std::string_view(pieces).substr(begin, piece_ends[token] - begin);
  }

  std::unique_ptr<const Vocabulary> vocabulary;
  SpecialTokens user_defined;
  SpecialTokens all_special;
  Encoder encoder;
  bool add_bos;
  std::string pieces;              // of all tokens, one after the other
  std::vector<size_t> piece_ends;  // by token: where its piece ends in `pieces`
};

Result<Tokenizer> Tokenizer::Load(const GgufFile& file) {
  auto impl = Impl::Load(file);
  if (!impl) return Propagate(impl);
  return Tokenizer(std::move(*impl));
}

Tokenizer::Tokenizer(std::unique_ptr<const Impl> impl) : impl_(std::move(impl)) {}
Tokenizer::Tokenizer(Tokenizer&&) noexcept = default;
Tokenizer& Tokenizer::operator=(Tokenizer&&) noexcept = default;
Tokenizer::~Tokenizer() = default;

std::vector<Token> Tokenizer::Encode(std::string_view text, const EncodeOptions& options) const {
  std::vector<Token> tokens;
  if (options.add_special && impl_->add_bos) tokens.push_back(*impl_->vocabulary->bos());
  const SpecialTokens& special = options.parse_special ? impl_->all_special : impl_->user_defined;
  bool follows_token = true;  // the start of the text counts as one
  for (const TextFragment& fragment : special.Partition(text)) {
    if (fragment.token != TextFragment::kPlainText) {
      tokens.push_back(fragment.token);
      follows_token = true;
      continue;
    }
    std::visit([&](const auto& e) { e.Encode(fragment.text, follows_token, tokens); },
               impl_->encoder);
    follows_token = false;
  }
  const auto eos = impl_->vocabulary->eos();
  if (options.add_special && impl_->vocabulary->add_eos() && eos) tokens.push_back(*eos);
  return tokens;
}

std::string Tokenizer::Piece(Token token, bool render_special) const {
  return std::string(impl_->Piece(token, render_special));
}

std::string Tokenizer::Decode(std::span<const Token> tokens, bool render_special) const {
  std::string text;
  for (size_t i = 0; i < tokens.size(); ++i) {
    std::string_view piece = impl_->Piece(tokens[i], render_special);
    if (i == 0 && DropsLeadingSpace() && piece.starts_with(' ')) piece.remove_prefix(1);
    text += piece;
  }
  return text;
}

size_t Tokenizer::n_vocab() const { return impl_->vocabulary->size(); }
std::optional<Token> Tokenizer::bos() const { return impl_->vocabulary->bos(); }
std::optional<Token> Tokenizer::eos() const { return impl_->vocabulary->eos(); }
bool Tokenizer::add_bos() const { return impl_->add_bos; }
bool Tokenizer::DropsLeadingSpace() const { return impl_->vocabulary->add_space_prefix(); }

bool Tokenizer::IsEndOfGeneration(Token token) const {
  return impl_->vocabulary->IsEndOfGeneration(token);
}

std::string StreamingDetokenizer::Add(Token token) {
  pending_ += tokenizer_->Piece(token);
  return TakeWholeUtf8(pending_);
}

std::string StreamingDetokenizer::Finish() {
  // What is left is one unfinished sequence, which is one ill-formed part.
  if (std::exchange(pending_, {}).empty()) return {};
  std::string text;
  AppendUtf8(kReplacementCharacter, text);
  return text;
}

}  // namespace quern
