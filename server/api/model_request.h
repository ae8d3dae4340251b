// What a request asks a model to read, before it is known which model that is.
#pragma once

#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "gguf/base/result.h"
#include "runtime/text/chat_template.h"
#include "runtime/text/token.h"

namespace quern {

using Conversation = std::vector<ChatMessage>;
/// A prompt in pieces of text and of tokens, one behind the other.
using MixedPrompt = std::vector<std::variant<std::string, std::vector<Token>>>;
using ApiPrompt = std::variant<Conversation, MixedPrompt>;

/// The part that all requests to a model share. A body is parsed once, into one of these and what
/// its endpoint adds; routing, screening and audit read the same prompts as the model.
struct ModelRequest {
  std::string model;               ///< or a router; empty: the default
  std::vector<ApiPrompt> prompts;  ///< messages, prompts or inputs
  bool has_images = false;
  bool has_tools = false;
  /// What is known and no model here can honour. It is refused once a model is found, and not by
  /// the parser: routes may go by images and tools.
  std::optional<Error> unsupported;
};

}  // namespace quern
