// llama.cpp's own response objects, as its /completion writes them.
#include <utility>

#include "server/api/response_format.h"

namespace quern {
namespace {

double PerSecond(size_t n, double seconds) {
  return seconds > 0 ? static_cast<double>(n) / seconds : 0;
}

double MillisecondsEach(size_t n, double seconds) {
  return n > 0 ? 1e3 * seconds / static_cast<double>(n) : 0;
}

Json TimingsJson(const GenerateStats& stats) {
  const size_t n_prompt = stats.prompt_tokens - stats.cached_tokens;
  const size_t n_predicted = stats.generated_tokens;
  return {{"cache_n", stats.cached_tokens},
          {"prompt_n", n_prompt},
          {"prompt_ms", 1e3 * stats.prefill_seconds},
          {"prompt_per_token_ms", MillisecondsEach(n_prompt, stats.prefill_seconds)},
          {"prompt_per_second", PerSecond(n_prompt, stats.prefill_seconds)},
          {"predicted_n", n_predicted},
          {"predicted_ms", 1e3 * stats.decode_seconds},
          {"predicted_per_token_ms", MillisecondsEach(n_predicted, stats.decode_seconds)},
          {"predicted_per_second", PerSecond(n_predicted, stats.decode_seconds)}};
}

const char* StopType(const Answer& answer) {
  if (!answer.finished) return "none";
  switch (answer.finish_reason) {
    case FinishReason::kEndOfGeneration:
      return "eos";
    case FinishReason::kStopText:
      return "word";
    case FinishReason::kLength:
      return "limit";
    case FinishReason::kCancelled:
      break;
  }
  return "none";
}

Json SettingsJson(const ResponseContext& context) {
  const GenerateRequest& generate = context.generate;
  const SamplingParams& sampling = generate.sampling;
  Json settings = SamplingJson(sampling);
  settings["n_predict"] =
      generate.max_tokens ? static_cast<int64_t>(*generate.max_tokens) : int64_t{-1};
  settings["max_tokens"] = settings["n_predict"];
  settings["seed"] = sampling.seed;
  settings["stop"] = generate.stop;
  settings["ignore_eos"] = generate.ignore_eos;
  settings["n_keep"] = context.options.n_keep;
  settings["n_probs"] = std::max(0, sampling.n_logprobs);
  settings["stream"] = context.options.stream;
  settings["timings_per_token"] = context.options.timings_per_token;
  return settings;
}

class NativeFormat : public ResponseFormat {
 public:
  using ResponseFormat::ResponseFormat;

  Json Whole(std::span<const Answer> answers) override {
    Json all = Json::array();
    for (size_t i = 0; i < answers.size(); ++i) {
      const Answer& answer = answers[i];
      Json whole = Last(i, answer, answer.text);
      if (context().options.return_tokens) whole["tokens"] = TokensJson(answer);
      if (wants_logprobs()) whole["completion_probabilities"] = ProbabilitiesJson(answer);
      all.push_back(std::move(whole));
    }
    return all.size() == 1 ? all[0] : all;
  }

  std::string Part(size_t index, const Answer& part) override {
    if (index >= has_new_line_.size()) has_new_line_.resize(index + 1);
    has_new_line_[index] = has_new_line_[index] || HasNewLine(part.text);
    std::string events;
    if (!part.text.empty() || !part.tokens.empty()) {
      Json json = {{"index", index},
                   {"content", part.text},
                   {"tokens", TokensJson(part)},
                   {"stop", false},
                   {"id_slot", index},
                   {"tokens_predicted", part.stats.generated_tokens},
                   {"tokens_evaluated", part.stats.prompt_tokens}};
      if (context().options.timings_per_token) json["timings"] = TimingsJson(part.stats);
      if (wants_logprobs()) json["completion_probabilities"] = ProbabilitiesJson(part);
      events += Sse(json);
    }
    if (part.finished) {
      Json last = Last(index, part, "");
      const bool has_new_line = has_new_line_[index];
      last["has_new_line"] = has_new_line;
      events += Sse(last);
    }
    return events;
  }

  std::string End(std::span<const Answer> /*answers*/) override { return ""; }

 private:
  static bool HasNewLine(const std::string& text) { return text.find('\n') != std::string::npos; }

  /// The object that ends an answer; `content` is its text, "" where that was streamed.
  Json Last(size_t index, const Answer& answer, const std::string& content) const {
    const GenerateStats& stats = answer.stats;
    return {{"index", index},
            {"content", content},
            {"tokens", Json::array()},
            {"id_slot", index},
            {"stop", true},
            {"model", context().model_id},
            {"tokens_predicted", stats.generated_tokens},
            {"tokens_evaluated", stats.prompt_tokens},
            {"generation_settings", SettingsJson(context())},
            {"prompt", tokenizer().Decode(PromptOf(index), /*render_special=*/true)},
            {"has_new_line", HasNewLine(content)},
            {"truncated", stats.n_shifts > 0},
            {"stop_type", StopType(answer)},
            {"stopping_word", answer.stop_text},
            {"tokens_cached", stats.prompt_tokens + stats.generated_tokens},
            {"timings", TimingsJson(stats)}};
  }

  static Json TokensJson(const Answer& answer) {
    Json tokens = Json::array();
    for (const SampledToken& token : answer.tokens) tokens.push_back(token.token);
    return tokens;
  }

  Json ProbabilitiesJson(const Answer& answer) const {
    Json all = Json::array();
    for (const SampledToken& token : answer.tokens) {
      Json entry = Entry({token.token, token.logprob});
      Json top = Json::array();
      for (const TokenLogprob& each : token.top) top.push_back(Entry(each));
      entry["top_logprobs"] = std::move(top);
      all.push_back(std::move(entry));
    }
    return all;
  }

  Json Entry(const TokenLogprob& token) const {
    const std::string piece = tokenizer().Piece(token.token, /*render_special=*/true);
    return {{"id", token.token},
            {"token", piece},
            {"bytes", BytesJson(piece)},
            {"logprob", FiniteLogprob(token.logprob)}};
  }

  std::vector<bool> has_new_line_;  ///< by index
};

}  // namespace

std::unique_ptr<ResponseFormat> NewNativeFormat(ResponseContext context) {
  return std::make_unique<NativeFormat>(std::move(context));
}

}  // namespace quern
