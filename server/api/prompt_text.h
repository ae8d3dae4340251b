// What was asked of the model, as one text.
#pragma once

#include <span>
#include <string>

#include "runtime/text/tokenizer.h"
#include "server/api/api_request.h"

namespace quern {

/// One prompt of text as it is; anything else as JSON: a conversation as a list of messages with
/// their role and content, tokens as a list of ids, and several of these as a list.
std::string PromptText(std::span<const ApiPrompt> prompts);

/// The texts alone, one below the other: of all messages of conversations, and of prompts, whose
/// tokens stand there as their text.
std::string PlainText(std::span<const ApiPrompt> prompts, const Tokenizer& tokenizer);

}  // namespace quern
