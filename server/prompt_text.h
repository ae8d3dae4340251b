// What was asked of the model, as one text.
#pragma once

#include <span>
#include <string>

#include "server/api_request.h"

namespace quern {

/// One prompt of text as it is; anything else as JSON: a conversation as a list of messages with
/// their role and content, tokens as a list of ids, and several of these as a list.
std::string PromptText(std::span<const ApiPrompt> prompts);

}  // namespace quern
