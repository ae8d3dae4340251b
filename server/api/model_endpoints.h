// Endpoints that need the model and not the engine: models, props, tokens, templates, slots.
#pragma once

#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "gguf/base/result.h"
#include "runtime/engine/engine_status.h"
#include "runtime/model/model.h"
#include "runtime/text/tokenizer.h"
#include "server/api/model_request.h"
#include "server/api/model_status.h"
#include "server/api/response_format.h"
#include "server/api/router.h"

namespace quern {

/// The models, and the routers that stand for them.
Json ModelsJson(std::span<const ModelStatus> models, std::span<const Router> routers);
/// `sampling`: what holds where a request of llama.cpp's kind says nothing.
Json PropsJson(const Model& model, const ModelInfo& info, const SamplingParams& sampling,
               std::string_view version);
/// As llama-server has it, an object per place: those in use first, then requests that wait for
/// one.
Json SlotsJson(const EngineStatus& status, const ModelInfo& info);

struct TokenizeRequest : ModelRequest {
  EncodeOptions options{.add_special = false, .parse_special = true};
  bool with_pieces = false;
};

// The bodies of requests, which are objects. Errors: kInvalidArgument naming the field.
Result<TokenizeRequest> ParseTokenizeRequest(const nlohmann::json& body);
Result<ModelRequest> ParseDetokenizeRequest(const nlohmann::json& body);
Result<ModelRequest> ParseTemplateRequest(const nlohmann::json& body);

// Their responses, to requests of the parsers above.
Result<Json> Tokenize(const Model& model, const TokenizeRequest& request);
/// Errors: kInvalidArgument for a token outside the vocabulary.
Result<Json> Detokenize(const Model& model, const ModelRequest& request);
/// Errors: those of ChatTemplate::Render.
Result<Json> ApplyTemplate(const Model& model, const ModelRequest& request);

/// The tokens of a prompt. Errors: those of Model::EncodeChat.
Result<std::vector<Token>> Encode(const Model& model, const ApiPrompt& prompt);

}  // namespace quern
