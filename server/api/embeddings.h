// OpenAI's embeddings: requests in, responses out.
#pragma once

#include <nlohmann/json.hpp>
#include <span>

#include "gguf/base/result.h"
#include "runtime/engine/embed.h"
#include "server/api/model_request.h"
#include "server/api/model_status.h"
#include "server/api/response_format.h"

namespace quern {

/// Each of its prompts gets an embedding.
struct EmbeddingRequest : ModelRequest {
  bool base64 = false;
};

/// `body` is an object. Errors: kInvalidArgument naming the field.
Result<EmbeddingRequest> ParseEmbeddingRequest(const nlohmann::json& body);
/// `embeddings`: of each prompt.
Json EmbeddingsJson(const ModelInfo& info, const EmbeddingRequest& request,
                    std::span<const Embedding> embeddings);

}  // namespace quern
