// OpenAI's response objects, for chats and for text completions.
#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <utility>

#include "gguf/base/utf8.h"
#include "server/api/response_format.h"

namespace quern {
namespace {

const char* ReasonName(FinishReason reason) {
  return reason == FinishReason::kLength ? "length" : "stop";
}

size_t CountCodePoints(std::string_view text) {
  return static_cast<size_t>(std::count_if(text.begin(), text.end(), [](char c) {
    return (static_cast<unsigned char>(c) & 0xC0U) != 0x80;
  }));
}

class OpenAiFormat : public ResponseFormat {
 public:
  using ResponseFormat::ResponseFormat;

  Json Whole(std::span<const Answer> answers) override {
    Json response = Head(/*chunk=*/false);
    Json choices = Json::array();
    for (size_t i = 0; i < answers.size(); ++i) {
      Json choice = {{"index", i}};
      AddContent(i, answers[i], &choice);
      choice["logprobs"] = Logprobs(i, answers[i]);
      choice["finish_reason"] = ReasonName(answers[i].finish_reason);
      choices.push_back(std::move(choice));
    }
    response["choices"] = std::move(choices);
    response["usage"] = Usage(answers);
    return response;
  }

  std::string Part(size_t index, const Answer& part) override {
    if (index >= has_begun_.size()) has_begun_.resize(index + 1);
    std::string events;
    const bool has_news = !part.text.empty() || !part.tokens.empty() ||
                          (wants_logprobs() && context().options.echo && part.end_token);
    if (has_news || (!has_begun_[index] && HasBeginning())) {
      events +=
          Sse(Chunk(index, Delta(index, part, !has_begun_[index]), Logprobs(index, part), nullptr));
      has_begun_[index] = true;
    }
    if (part.finished) {
      events += Sse(Chunk(index, Delta(index), nullptr, ReasonName(part.finish_reason)));
    }
    return events;
  }

  std::string End(std::span<const Answer> answers) override {
    std::string events;
    if (context().options.include_usage) {
      Json chunk = Head(/*chunk=*/true);
      chunk["choices"] = Json::array();
      chunk["usage"] = Usage(answers);
      events = Sse(chunk);
    }
    return events + "data: [DONE]\n\n";
  }

 protected:
  virtual const char* Object(bool chunk) const = 0;
  /// Puts an answer's text into its choice.
  virtual void AddContent(size_t index, const Answer& answer, Json* choice) const = 0;
  /// Whether an answer's first chunk tells something though it has no text.
  virtual bool HasBeginning() const = 0;
  /// The fields of a choice with a part of its answer, and of the one that ends it.
  virtual Json Delta(size_t index, const Answer& part, bool first) const = 0;
  virtual Json Delta(size_t index) const = 0;
  /// Null where they are not wanted.
  virtual Json Logprobs(size_t index, const Answer& answer) = 0;

 private:
  Json Head(bool chunk) const {
    return {{"id", context().id},
            {"object", Object(chunk)},
            {"created", context().created},
            {"model", context().model_id},
            {"system_fingerprint", context().fingerprint}};
  }

  Json Chunk(size_t index, const Json& fields, Json logprobs, const Json& reason) const {
    Json choice = {{"index", index}};
    choice.update(fields);
    choice["logprobs"] = std::move(logprobs);
    choice["finish_reason"] = reason;
    Json chunk = Head(/*chunk=*/true);
    chunk["choices"] = Json::array({std::move(choice)});
    return chunk;
  }

  /// A prompt counts once, however many answers it has.
  Json Usage(std::span<const Answer> answers) const {
    size_t n_prompt = 0;
    size_t n_cached = 0;
    size_t n_generated = 0;
    for (size_t i = 0; i < answers.size(); ++i) {
      const GenerateStats& stats = answers[i].stats;
      n_generated += stats.generated_tokens;
      if (i % context().options.n != 0) continue;
      n_prompt += stats.prompt_tokens;
      n_cached += stats.cached_tokens;
    }
    return {{"prompt_tokens", n_prompt},
            {"completion_tokens", n_generated},
            {"total_tokens", n_prompt + n_generated},
            {"prompt_tokens_details", {{"cached_tokens", n_cached}}}};
  }

  std::vector<bool> has_begun_;  ///< by index
};

class ChatFormat : public OpenAiFormat {
 public:
  using OpenAiFormat::OpenAiFormat;

 private:
  const char* Object(bool chunk) const override {
    return chunk ? "chat.completion.chunk" : "chat.completion";
  }

  void AddContent(size_t /*index*/, const Answer& answer, Json* choice) const override {
    (*choice)["message"] = {{"role", "assistant"}, {"content", answer.text}};
  }

  bool HasBeginning() const override { return true; }  // the role

  Json Delta(size_t /*index*/, const Answer& part, bool first) const override {
    Json delta = Json::object();
    if (first) delta["role"] = "assistant";
    if (first || !part.text.empty()) delta["content"] = part.text;
    return {{"delta", std::move(delta)}};
  }
  Json Delta(size_t /*index*/) const override { return {{"delta", Json::object()}}; }

  Json Logprobs(size_t /*index*/, const Answer& answer) override {
    if (!wants_logprobs()) return nullptr;
    Json content = Json::array();
    for (const SampledToken& token : answer.tokens) {
      Json entry = Entry({token.token, token.logprob});
      Json top = Json::array();
      for (const TokenLogprob& each : token.top) top.push_back(Entry(each));
      entry["top_logprobs"] = std::move(top);
      content.push_back(std::move(entry));
    }
    return {{"content", std::move(content)}};
  }

  Json Entry(const TokenLogprob& token) const {
    const std::string piece = tokenizer().Piece(token.token, /*render_special=*/true);
    return {
        {"token", piece}, {"logprob", FiniteLogprob(token.logprob)}, {"bytes", BytesJson(piece)}};
  }
};

class CompletionFormat : public OpenAiFormat {
 public:
  using OpenAiFormat::OpenAiFormat;

 private:
  const char* Object(bool /*chunk*/) const override { return "text_completion"; }

  void AddContent(size_t index, const Answer& answer, Json* choice) const override {
    (*choice)["text"] = Prefix(index) + answer.text;
  }

  bool HasBeginning() const override { return context().options.echo; }

  Json Delta(size_t index, const Answer& part, bool first) const override {
    return {{"text", (first ? Prefix(index) : "") + part.text}};
  }
  Json Delta(size_t /*index*/) const override { return {{"text", ""}}; }

  std::string Prefix(size_t index) const {
    return context().options.echo ? tokenizer().Decode(PromptOf(index)) : "";
  }

  /// Of the prompt's tokens, where they are echoed, the first has none: nothing stands before it.
  Json Logprobs(size_t index, const Answer& answer) override {
    if (!wants_logprobs()) return nullptr;
    if (index >= text_offset_.size()) text_offset_.resize(index + 1);
    Lists lists;
    if (context().options.echo && !text_offset_[index]) {
      Add(index, {PromptOf(index).front(), 0, {}}, &lists);
      lists.logprobs.back() = nullptr;
      lists.top.back() = nullptr;
    }
    for (const SampledToken& token : answer.prompt_tokens) Add(index, token, &lists);
    for (const SampledToken& token : answer.tokens) Add(index, token, &lists);
    // Who scores texts by their echo takes the last token for the generated one, text or not.
    if (context().options.echo && answer.end_token) Add(index, *answer.end_token, &lists);
    return {{"tokens", std::move(lists.tokens)},
            {"token_logprobs", std::move(lists.logprobs)},
            {"top_logprobs", std::move(lists.top)},
            {"text_offset", std::move(lists.offsets)}};
  }

  struct Lists {
    Json tokens = Json::array();
    Json logprobs = Json::array();
    Json top = Json::array();
    Json offsets = Json::array();
  };

  void Add(size_t index, const SampledToken& token, Lists* lists) {
    const std::string piece = tokenizer().Piece(token.token);
    lists->tokens.push_back(Name(token.token));
    lists->logprobs.push_back(FiniteLogprob(token.logprob));
    Json top = {{Name(token.token), FiniteLogprob(token.logprob)}};
    for (const TokenLogprob& each : token.top) {
      top.emplace(Name(each.token), FiniteLogprob(each.logprob));
    }
    lists->top.push_back(std::move(top));
    const size_t offset = text_offset_[index].value_or(0);
    lists->offsets.push_back(offset);
    text_offset_[index] = offset + CountCodePoints(piece);
  }

  /// A token's text; one that is no UTF-8 by itself in the way that OpenAI wrote them, so that no
  /// two have the same name.
  std::string Name(Token token) const {
    std::string piece = tokenizer().Piece(token, /*render_special=*/true);
    if (IsValidUtf8(piece)) return piece;
    std::string name = "bytes:";
    for (const char c : piece) name += fmt::format("\\x{:02x}", static_cast<unsigned char>(c));
    return name;
  }

  /// By index: code points of text before the next token; none before the first.
  std::vector<std::optional<size_t>> text_offset_;
};

}  // namespace

std::unique_ptr<ResponseFormat> NewChatFormat(ResponseContext context) {
  return std::make_unique<ChatFormat>(std::move(context));
}

std::unique_ptr<ResponseFormat> NewCompletionFormat(ResponseContext context) {
  return std::make_unique<CompletionFormat>(std::move(context));
}

}  // namespace quern
