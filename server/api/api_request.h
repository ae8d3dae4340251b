// Requests for answers, as OpenAI's and llama.cpp's clients write them: JSON into native types.
#pragma once

#include <cstddef>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "gguf/base/result.h"
#include "runtime/engine/generate.h"
#include "runtime/text/chat_template.h"
#include "runtime/text/token.h"

namespace quern {

enum class ApiKind : uint8_t {
  kChat,        ///< OpenAI's /v1/chat/completions
  kCompletion,  ///< OpenAI's /v1/completions
  kNative,      ///< llama.cpp's /completion
};

using Conversation = std::vector<ChatMessage>;
/// A prompt in pieces of text and of tokens, one behind the other.
using MixedPrompt = std::vector<std::variant<std::string, std::vector<Token>>>;
using ApiPrompt = std::variant<Conversation, MixedPrompt>;

/// OpenAI's defaults rather than llama.cpp's.
SamplingParams OpenAiSampling();

/// What holds where a request says nothing.
struct AnswerDefaults {
  SamplingParams native;                            ///< of llama.cpp's endpoints
  SamplingParams openai = OpenAiSampling();         ///< of OpenAI's, whose clients expect it
  std::optional<size_t> max_tokens = std::nullopt;  ///< none: no limit, of kCompletion 16
  std::optional<uint64_t> seed = std::nullopt;      ///< none: another each time
};

struct ApiRequest {
  std::vector<ApiPrompt> prompts;  ///< at least one
  size_t n = 1;                    ///< answers to each
  GenerateRequest generate;        ///< for all answers; without its prompt
  bool stream = false;
  bool include_usage = false;  ///< a last chunk with the token counts
  bool echo = false;           ///< the prompt stands before its answer
  int64_t n_keep = 0;  ///< first tokens that stay when the context is shifted; -1: the prompt
  bool return_tokens = false;
  bool timings_per_token = false;
};

/// `body` is an object. Errors: kInvalidArgument naming the field, what was found and what was
/// expected; kUnsupported naming a field that is known and cannot be honoured. Unknown fields are
/// passed over.
Result<ApiRequest> ParseApiRequest(ApiKind kind, const nlohmann::json& body,
                                   const AnswerDefaults& defaults = {});

/// One prompt, or a list of them: the value of the field `name`. `mixed`: tokens and texts may
/// stand in one prompt. Errors: kInvalidArgument.
Result<std::vector<ApiPrompt>> ParsePrompts(std::string_view name, const nlohmann::json& value,
                                            bool mixed);

/// A list of messages. Errors: kInvalidArgument; kUnsupported for parts that are no text.
Result<Conversation> ParseMessages(const nlohmann::json& value);

}  // namespace quern
