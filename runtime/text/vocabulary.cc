#include "runtime/text/vocabulary.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <cmath>
#include <limits>
#include <utility>

namespace quern {
namespace {

/// Texts that end an answer wherever they are in a vocabulary: files name one or two ids at most,
/// and models use more. The list is llama.cpp's.
constexpr std::string_view kEndTexts[] = {"<|eot_id|>",
                                          "<|eom_id|>",
                                          "<|end_of_text|>",
                                          "<|endoftext|>",
                                          "<|im_end|>",
                                          "<|end|>",
                                          "<end_of_turn>",
                                          "<eos>",
                                          "</s>",
                                          "<EOT>",
                                          "_<EOT>",
                                          "[EOT]",
                                          "[EOS]",
                                          "<end_of_utterance>",
                                          "<|return|>",
                                          "<|call|>",
                                          "<|calls|>",
                                          "<|flush|>",
                                          "<turn|>",
                                          "<|tool_response>",
                                          "<|fim_pad|>",
                                          "<fim-pad>",
                                          "<fim_pad>",
                                          "<PAD>",
                                          "[PAD]",
                                          "<|fim_repo|>",
                                          "<|repo_name|>",
                                          "<fim-repo>",
                                          "<REPO>",
                                          "<reponame>",
                                          "<|file_sep|>",
                                          "<｜end▁of▁sentence｜>",
                                          "[e~["};

/// Texts of fill-in-the-middle prompts: control tokens, even in files that call them normal.
constexpr std::string_view kFillInTexts[] = {
    "<|fim_prefix|>", "<fim-prefix>",    "<fim_prefix>",    "<｜fim▁begin｜>", "<PRE>",
    "▁<PRE>",         "<|code_prefix|>", "<|prefix|>",      "<|fim_suffix|>",  "<fim-suffix>",
    "<fim_suffix>",   "<｜fim▁hole｜>",  "<SUF>",           "▁<SUF>",          "<|code_suffix|>",
    "<|suffix|>",     "<|fim_middle|>",  "<fim-middle>",    "<fim_middle>",    "<｜fim▁end｜>",
    "<MID>",          "▁<MID>",          "<|code_middle|>", "<|middle|>"};

/// Parts of a gpt-oss answer that its reader must see.
constexpr std::string_view kVisibleTexts[] = {"<|channel|>", "<|message|>", "<|start|>",
                                              "<|constrain|>"};

constexpr uint64_t kMaxTokens = std::numeric_limits<Token>::max();

int HexDigit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  return -1;
}

bool IsByteText(std::string_view text) {
  return text.size() == 6 && text.substr(0, 3) == "<0x" && text[5] == '>' &&
         HexDigit(text[3]) >= 0 && HexDigit(text[4]) >= 0;
}

}  // namespace

class Vocabulary::Loader {
 public:
  explicit Loader(const GgufFile& file) : file_(file) {}

  Result<Vocabulary> Load() {
    using Step = Status (Loader::*)();
    constexpr Step kSteps[] = {&Loader::LoadModel,  &Loader::LoadTexts, &Loader::LoadTypes,
                               &Loader::LoadScores, &Loader::LoadRoles, &Loader::LoadFlags};
    for (const Step step : kSteps) {
      if (Status status = (this->*step)(); !status) return Propagate(status);
    }
    FindEndTokens();
    return std::move(vocabulary_);
  }

 private:
  Status LoadModel() {
    auto model = file_.GetString("tokenizer.ggml.model");
    if (!model) return Propagate(model);
    if (*model == "gpt2") {
      vocabulary_.model_ = VocabularyModel::kByteLevelBpe;
    } else if (*model == "llama") {
      vocabulary_.model_ = VocabularyModel::kSentencePiece;
    } else {
      return Fail(ErrorCode::kUnsupported,
                  "{}: tokenizer.ggml.model is '{}'; Quern knows 'gpt2' and 'llama'", file_.name(),
                  *model);
    }
    return {};
  }

  Status LoadTexts() {
    auto texts = file_.GetStrings("tokenizer.ggml.tokens");
    if (!texts) return Propagate(texts);
    if (texts->empty() || texts->size() > kMaxTokens) {
      return Fail(ErrorCode::kCorruptFile,
                  "{}: tokenizer.ggml.tokens has {} tokens; 1 to {} expected", file_.name(),
                  texts->size(), kMaxTokens);
    }
    size_t n_bytes = 0;
    for (const std::string_view text : *texts) n_bytes += text.size();
    vocabulary_.bytes_.reserve(n_bytes);
    vocabulary_.texts_.reserve(texts->size());
    vocabulary_.index_ = TextIndex(texts->size());
    for (const std::string_view text : *texts) {
      const char* begin = vocabulary_.bytes_.data() + vocabulary_.bytes_.size();
      vocabulary_.bytes_.insert(vocabulary_.bytes_.end(), text.begin(), text.end());
      const auto id = static_cast<Token>(vocabulary_.texts_.size());
      const std::string_view& owned = vocabulary_.texts_.emplace_back(begin, text.size());
      // An empty text can never be met, so several tokens may have it.
      if (text.empty()) continue;
      if (const int32_t other = vocabulary_.index_.Insert(owned, id); other != TextIndex::kNone) {
        return Fail(ErrorCode::kCorruptFile,
                    "{}: tokenizer.ggml.tokens[{}] is '{}' as is [{}]; texts must differ",
                    file_.name(), id, text, other);
      }
    }
    return {};
  }

  /// A parallel array may be longer than the list of tokens, as llama.cpp allows, but not shorter.
  Status CheckLength(std::string_view key, size_t length) const {
    if (length >= vocabulary_.size()) return {};
    return Fail(ErrorCode::kCorruptFile, "{}: {} has {} values for {} tokens", file_.name(), key,
                length, vocabulary_.size());
  }

  Status LoadTypes() {
    constexpr std::string_view kKey = "tokenizer.ggml.token_type";
    const size_t n = vocabulary_.size();
    vocabulary_.types_.assign(n, TokenType::kNormal);
    if (file_.Find(kKey) == nullptr) return {};
    auto types = file_.GetInts(kKey);
    if (!types) return Propagate(types);
    if (Status status = CheckLength(kKey, types->size()); !status) return status;
    for (size_t i = 0; i < n; ++i) {
      const int64_t type = (*types)[i];
      // Unknown kinds are tokens without text, as in llama.cpp.
      vocabulary_.types_[i] = type >= 0 && type <= static_cast<int64_t>(TokenType::kByte)
                                  ? static_cast<TokenType>(type)
                                  : TokenType::kUndefined;
      if (vocabulary_.types_[i] == TokenType::kByte && !IsByteText(vocabulary_.texts_[i])) {
        return Fail(
            ErrorCode::kCorruptFile,
            "{}: tokenizer.ggml.tokens[{}] is '{}'; its type is byte, so '<0xHH>' is expected",
            file_.name(), i, vocabulary_.texts_[i]);
      }
    }
    return {};
  }

  Status LoadScores() {
    constexpr std::string_view kKey = "tokenizer.ggml.scores";
    if (file_.Find(kKey) == nullptr) return {};
    auto scores = file_.GetFloats(kKey);
    if (!scores) return Propagate(scores);
    if (Status status = CheckLength(kKey, scores->size()); !status) return status;
    vocabulary_.scores_.resize(vocabulary_.size());
    for (size_t i = 0; i < vocabulary_.size(); ++i) {
      const double score = (*scores)[i];
      if (std::isnan(score)) {
        return Fail(ErrorCode::kCorruptFile, "{}: {}[{}] is not a number", file_.name(), kKey, i);
      }
      vocabulary_.scores_[i] = static_cast<float>(score);
    }
    return {};
  }

  /// The token that `key` names; `fallback` for files that do not have the key.
  Status LoadRole(std::string_view key, std::optional<Token> fallback,
                  std::optional<Token>& token) const {
    token = fallback && vocabulary_.Contains(*fallback) ? fallback : std::nullopt;
    const MetaValue* value = file_.Find(key);
    if (value == nullptr) return {};
    if (const auto* number = std::get_if<int64_t>(&value->value); number && *number < 0) return {};
    auto id = file_.GetUint(key);
    if (!id) return Propagate(id);
    if (*id < vocabulary_.size()) token = static_cast<Token>(*id);
    return {};
  }

  Status LoadRoles() {
    // SentencePiece's own ids. Byte-level vocabularies have no such convention.
    const bool is_spm = vocabulary_.model_ == VocabularyModel::kSentencePiece;
    const auto spm_default = [&](Token id) { return is_spm ? std::optional(id) : std::nullopt; };
    struct Role {
      std::string_view key;
      std::optional<Token> fallback;
      std::optional<Token>* token;
    };
    const Role roles[] = {
        {"tokenizer.ggml.bos_token_id", spm_default(1), &vocabulary_.bos_},
        {"tokenizer.ggml.eos_token_id", spm_default(2), &vocabulary_.eos_},
        {"tokenizer.ggml.unknown_token_id", spm_default(0), &vocabulary_.unknown_},
        {"tokenizer.ggml.eot_token_id", std::nullopt, &end_of_turn_},
        {"tokenizer.ggml.eom_token_id", std::nullopt, &end_of_message_},
    };
    for (const Role& role : roles) {
      if (Status status = LoadRole(role.key, role.fallback, *role.token); !status) return status;
    }
    return {};
  }

  Status LoadFlags() {
    if (file_.Find("tokenizer.ggml.add_bos_token") != nullptr) {
      auto add_bos = file_.GetBool("tokenizer.ggml.add_bos_token");
      if (!add_bos) return Propagate(add_bos);
      vocabulary_.add_bos_ = *add_bos;
    }
    auto add_eos = file_.GetBoolOr("tokenizer.ggml.add_eos_token", false);
    if (!add_eos) return Propagate(add_eos);
    vocabulary_.add_eos_ = *add_eos;
    auto add_space_prefix = file_.GetBoolOr("tokenizer.ggml.add_space_prefix",
                                            vocabulary_.model_ == VocabularyModel::kSentencePiece);
    if (!add_space_prefix) return Propagate(add_space_prefix);
    vocabulary_.add_space_prefix_ = *add_space_prefix;
    auto name = file_.GetStringOr("general.name", "");
    if (!name) return Propagate(name);
    std::string lower(*name);
    std::transform(lower.begin(), lower.end(), lower.begin(),
                   [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
    vocabulary_.is_phi3_ =
        lower.find("phi-3") != std::string::npos || lower.find("phi3") != std::string::npos;
    return {};
  }

  void FindEndTokens() {
    std::vector<Token>& ends = vocabulary_.end_of_generation_;
    for (const std::string_view text : kEndTexts) {
      if (const auto token = vocabulary_.Find(text)) {
        vocabulary_.types_[*token] = TokenType::kControl;
        ends.push_back(*token);
      }
    }
    for (const std::string_view text : kFillInTexts) {
      if (const auto token = vocabulary_.Find(text)) {
        vocabulary_.types_[*token] = TokenType::kControl;
      }
    }
    for (const std::string_view text : kVisibleTexts) {
      if (const auto token = vocabulary_.Find(text)) {
        vocabulary_.types_[*token] = TokenType::kUserDefined;
      }
    }
    for (const auto& token : {vocabulary_.eos_, end_of_turn_, end_of_message_}) {
      if (token) ends.push_back(*token);
    }
    // gpt-oss and Solar end each part of an answer with <|end|>, and the answer with another token.
    const auto has = [&](std::string_view text) { return vocabulary_.Find(text).has_value(); };
    const auto end = vocabulary_.Find("<|end|>");
    const bool has_call = has("<|call|>") || has("<|calls|>");
    if (end && has_call && (has("<|return|>") || has("<|flush|>"))) {
      ends.erase(std::remove(ends.begin(), ends.end(), *end), ends.end());
      vocabulary_.types_[*end] = TokenType::kUserDefined;
    }
    std::sort(ends.begin(), ends.end());
    ends.erase(std::unique(ends.begin(), ends.end()), ends.end());
  }

  const GgufFile& file_;
  Vocabulary vocabulary_;
  std::optional<Token> end_of_turn_;
  std::optional<Token> end_of_message_;
};

Result<Vocabulary> Vocabulary::Load(const GgufFile& file) { return Loader(file).Load(); }

char Vocabulary::Byte(Token token) const {
  const std::string_view text = Text(token);
  return static_cast<char>(HexDigit(text[3]) * 16 + HexDigit(text[4]));
}

std::optional<Token> Vocabulary::Find(std::string_view text) const {
  const int32_t token = index_.Find(text);
  if (token == TextIndex::kNone) return std::nullopt;
  return token;
}

bool Vocabulary::StripsSpacesAfter(Token token) const {
  const std::string_view text = Text(token);
  return is_phi3_ && text != "<unk>" && text != "<s>" && text != "<|endoftext|>";
}

bool Vocabulary::IsEndOfGeneration(Token token) const {
  return std::binary_search(end_of_generation_.begin(), end_of_generation_.end(), token);
}

}  // namespace quern
