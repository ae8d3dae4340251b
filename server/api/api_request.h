// Requests for answers, as OpenAI's and llama.cpp's clients write them: JSON into native types.
#pragma once

#include <cstddef>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "gguf/base/result.h"
#include "runtime/engine/generate.h"
#include "server/api/model_request.h"

namespace quern {

enum class ApiKind : uint8_t {
  kChat,        ///< OpenAI's /v1/chat/completions
  kCompletion,  ///< OpenAI's /v1/completions
  kNative,      ///< llama.cpp's /completion
};

/// OpenAI's defaults rather than llama.cpp's.
SamplingParams OpenAiSampling();

/// What holds for a model where a request says nothing.
struct AnswerDefaults {
  SamplingParams native;                            ///< of llama.cpp's endpoints
  SamplingParams openai = OpenAiSampling();         ///< of OpenAI's, whose clients expect it
  std::optional<size_t> max_tokens = std::nullopt;  ///< none: no limit, of kCompletion 16
  std::optional<uint64_t> seed = std::nullopt;      ///< none: another each time
};

/// What a request says of sampling; where it says nothing, the model's defaults hold.
struct SamplingRequest {
  std::optional<float> temperature;
  std::optional<int> top_k;
  std::optional<float> top_p;
  std::optional<float> min_p;
  std::optional<float> typical_p;
  std::optional<int> repeat_last_n;
  std::optional<float> repeat_penalty;
  std::optional<float> presence_penalty;
  std::optional<float> frequency_penalty;
  std::optional<uint64_t> seed;
  std::vector<std::pair<Token, float>> logit_bias;  ///< beside the defaults'
  std::optional<int> n_logprobs;

  SamplingParams Over(SamplingParams defaults) const;
};

/// A limit that a request names; `tokens` is none where it wants no limit.
struct TokenLimit {
  std::optional<size_t> tokens;
};

/// How answers are to be written.
struct ResponseOptions {
  size_t n = 1;  ///< answers to each prompt
  bool stream = false;
  bool include_usage = false;  ///< a last chunk with the token counts
  bool echo = false;           ///< the prompt stands before its answer
  int64_t n_keep = 0;  ///< first tokens that stay when the context is shifted; -1: the prompt
  bool return_tokens = false;
  bool timings_per_token = false;
};

struct ApiRequest : ModelRequest {
  ApiKind kind = ApiKind::kChat;
  SamplingRequest sampling;
  std::optional<TokenLimit> max_tokens;  ///< none: the model's default
  std::vector<std::string> stop;
  bool ignore_eos = false;
  ResponseOptions response;

  /// For each of its answers, without a prompt.
  GenerateRequest Generate(const AnswerDefaults& defaults) const;
};

/// `body` is an object. Errors: kInvalidArgument naming the field, what was found and what was
/// expected. Unknown fields are passed over.
Result<ApiRequest> ParseApiRequest(ApiKind kind, const nlohmann::json& body);

inline Result<ApiRequest> ParseChatRequest(const nlohmann::json& body) {
  return ParseApiRequest(ApiKind::kChat, body);
}
inline Result<ApiRequest> ParseCompletionRequest(const nlohmann::json& body) {
  return ParseApiRequest(ApiKind::kCompletion, body);
}
inline Result<ApiRequest> ParseNativeRequest(const nlohmann::json& body) {
  return ParseApiRequest(ApiKind::kNative, body);
}

}  // namespace quern
