// OpenAI's JSON and ours: requests into native types, events into response objects.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "gguf/result.h"
#include "runtime/chat_template.h"
#include "runtime/engine.h"

namespace quern {

using Json = nlohmann::ordered_json;

/// What /v1/completions and /v1/chat/completions ask for.
struct ApiRequest {
  /// A conversation, a text, or token ids.
  std::variant<std::vector<ChatMessage>, std::string, std::vector<Token>> input;
  GenerateRequest generate;  ///< without its prompt
  bool stream = false;
  bool include_usage = false;  ///< a last chunk with the token counts
};

enum class ApiKind : uint8_t { kCompletion, kChat };

/// Errors: kInvalidArgument naming the field, what was found and what was expected; kUnsupported
/// naming a field that is known and cannot be honoured. Unknown fields are passed over.
Result<ApiRequest> ParseApiRequest(ApiKind kind, std::string_view text);

/// What all objects of one response share.
struct ResponseHead {
  ApiKind kind;
  std::string id;
  int64_t created;  ///< seconds since 1970
  std::string model;
};

/// A response's id, "chatcmpl-..." or "cmpl-..." with random letters.
std::string NewResponseId(ApiKind kind);

Json UsageJson(const GenerateStats& stats);
/// The whole answer.
Json ResponseJson(const ResponseHead& head, std::string_view text, FinishReason reason,
                  const GenerateStats& stats);
/// One part of a streamed answer; the first of a chat names the role.
Json ChunkJson(const ResponseHead& head, std::string_view text, bool first);
/// The part that ends a streamed answer; `reason` is not kCancelled, here and above.
Json LastChunkJson(const ResponseHead& head, FinishReason reason);
/// The part after it, with the counts.
Json UsageChunkJson(const ResponseHead& head, const GenerateStats& stats);
Json ModelsJson(const Model& model, std::string_view id, int64_t created);
Json ErrorJson(const Error& error);

/// The HTTP status of an error.
int StatusOf(const Error& error);

}  // namespace quern
