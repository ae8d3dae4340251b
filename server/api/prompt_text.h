// What was asked of the model, as one text.
#pragma once

#include <span>
#include <string>

#include "runtime/text/tokenizer.h"
#include "server/api/model_request.h"

namespace quern {

/// One prompt of text as it is; anything else as JSON: a conversation as a list of messages with
/// their role and content, tokens as a list of ids, and several of these as a list.
std::string PromptText(std::span<const ApiPrompt> prompts);

/// The texts alone, a line each: of all messages of conversations, and of prompts. Tokens stand
/// there as their text; without a `tokenizer`, which is before a model has been chosen, they are
/// passed over.
std::string PlainText(std::span<const ApiPrompt> prompts, const Tokenizer* tokenizer);

}  // namespace quern
