// The shapes of responses: OpenAI's chats and completions, and llama.cpp's own.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "runtime/text/tokenizer.h"
#include "server/api/answer.h"
#include "server/api/api_request.h"

namespace quern {

using Json = nlohmann::ordered_json;

/// On one line, with invalid UTF-8 replaced.
std::string Dump(const Json& json);
/// A server-sent event.
std::string Sse(const Json& json);

/// What all parts of one response share.
struct ResponseContext {
  const Tokenizer* tokenizer = nullptr;  ///< outlives the response
  std::string model_id;
  std::string fingerprint;  ///< OpenAI's system_fingerprint: the program and its version
  std::string id;           ///< of the response
  int64_t created = 0;      ///< seconds since 1970
  ResponseOptions options;
  GenerateRequest generate;                 ///< what all answers share; without a prompt
  std::vector<std::vector<Token>> prompts;  ///< each with options.n answers, one behind the other
};

/// Writes one response. Answers are known by their index among all.
class ResponseFormat {
 public:
  explicit ResponseFormat(ResponseContext context) : context_(std::move(context)) {}
  virtual ~ResponseFormat() = default;
  ResponseFormat(const ResponseFormat&) = delete;
  ResponseFormat& operator=(const ResponseFormat&) = delete;

  /// The whole response, every answer finished.
  virtual Json Whole(std::span<const Answer> answers) = 0;
  /// Events for what was added to an answer; empty when there is nothing to tell yet.
  virtual std::string Part(size_t index, const Answer& part) = 0;
  /// What ends a stream, `answers` being all without their texts.
  virtual std::string End(std::span<const Answer> answers) = 0;

 protected:
  const ResponseContext& context() const { return context_; }
  const Tokenizer& tokenizer() const { return *context_.tokenizer; }
  const std::vector<Token>& PromptOf(size_t index) const {
    return context_.prompts[index / context_.options.n];
  }
  bool wants_logprobs() const { return context_.generate.sampling.n_logprobs >= 0; }

 private:
  ResponseContext context_;
};

std::unique_ptr<ResponseFormat> NewChatFormat(ResponseContext context);
std::unique_ptr<ResponseFormat> NewCompletionFormat(ResponseContext context);
std::unique_ptr<ResponseFormat> NewNativeFormat(ResponseContext context);
std::unique_ptr<ResponseFormat> NewFormat(ApiKind kind, ResponseContext context);

/// Sampling parameters under llama.cpp's names.
Json SamplingJson(const SamplingParams& sampling);
/// Log-probabilities as JSON can hold them: none below -9999.
double FiniteLogprob(float logprob);
/// The bytes of a piece of text as numbers.
Json BytesJson(std::string_view piece);

}  // namespace quern
