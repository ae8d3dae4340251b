// Endpoints that need the model and not the engine: models, props, tokens, templates, slots.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "gguf/result.h"
#include "runtime/engine_status.h"
#include "runtime/model.h"
#include "server/api_request.h"
#include "server/response_format.h"

namespace quern {

/// What clients may know of a served model.
struct ModelInfo {
  std::string id;
  std::string path;
  int64_t created = 0;  ///< when the server was started, in seconds since 1970
  size_t n_ctx = 0;     ///< most tokens of one request
  size_t n_slots = 0;   ///< most requests that run together
};

Json ModelsJson(const Model& model, const ModelInfo& info);
/// `sampling`: what holds where a request of llama.cpp's kind says nothing.
Json PropsJson(const Model& model, const ModelInfo& info, const SamplingParams& sampling,
               std::string_view version);
/// As llama-server has it, an object per place: those in use first, then requests that wait for
/// one.
Json SlotsJson(const EngineStatus& status, const ModelInfo& info);

// Bodies of requests in, responses out. Errors: kInvalidArgument naming the field, and those of
// ChatTemplate::Render.
Result<Json> Tokenize(const Model& model, std::string_view body);
Result<Json> Detokenize(const Model& model, std::string_view body);
Result<Json> ApplyTemplate(const Model& model, std::string_view body);

/// The tokens of a prompt. Errors: those of Model::EncodeChat.
Result<std::vector<Token>> Encode(const Model& model, const ApiPrompt& prompt);

struct EmbeddingRequest {
  std::vector<ApiPrompt> inputs;
  bool base64 = false;
};
Result<EmbeddingRequest> ParseEmbeddingRequest(std::string_view body);
Json EmbeddingsJson(const ModelInfo& info, const EmbeddingRequest& request,
                    std::span<const Answer> answers);

}  // namespace quern
