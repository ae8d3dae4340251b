// Prompts as OpenAI's and llama.cpp's clients write them: JSON into those of a ModelRequest.
#pragma once

#include <nlohmann/json.hpp>
#include <string_view>

#include "gguf/base/result.h"
#include "server/api/model_request.h"

namespace quern {

// All put what they read into `request`, and what they pass over into its `unsupported` and
// `has_images`. Errors: kInvalidArgument naming the field, what was found and what was expected.

/// The field `model` of a request's object.
Status ReadModelName(const nlohmann::json& body, ModelRequest* request);

/// A list of messages, which become one prompt.
Status ReadMessages(const nlohmann::json& value, ModelRequest* request);

/// One prompt, or a list of them: the value of the field `name`. `mixed`: tokens and texts may
/// stand in one prompt.
Status ReadPrompts(std::string_view name, const nlohmann::json& value, bool mixed,
                   ModelRequest* request);

/// A list of token ids, which become one prompt.
Status ReadTokens(std::string_view name, const nlohmann::json& value, ModelRequest* request);

/// The first of what is unsupported is kept.
void NoteUnsupported(tl::unexpected<Error> error, ModelRequest* request);

}  // namespace quern
