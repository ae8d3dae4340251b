#include "server/api/prompt_text.h"

#include <algorithm>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <variant>
#include <vector>

#include "server/api/response_format.h"

namespace quern {
namespace {

Json Value(const ApiPrompt& prompt) {
  Json list = Json::array();
  if (const auto* messages = std::get_if<Conversation>(&prompt)) {
    for (const ChatMessage& message : *messages) {
      list.push_back({{"role", message.role}, {"content", message.content}});
    }
    return list;
  }
  const auto& pieces = std::get<MixedPrompt>(prompt);
  for (const auto& piece : pieces) {
    std::visit([&](const auto& value) { list.push_back(value); }, piece);
  }
  return pieces.size() == 1 ? list.front() : list;
}

/// Without the ids that are none of a token.
std::string TextOf(std::vector<Token> tokens, const Tokenizer& tokenizer) {
  const auto n_vocab = static_cast<int64_t>(tokenizer.n_vocab());
  tokens.erase(std::remove_if(tokens.begin(), tokens.end(),
                              [&](Token token) { return token < 0 || token >= n_vocab; }),
               tokens.end());
  return tokenizer.Decode(tokens, /*render_special=*/true);
}

}  // namespace

std::string PromptText(std::span<const ApiPrompt> prompts) {
  Json list = Json::array();
  for (const ApiPrompt& prompt : prompts) list.push_back(Value(prompt));
  if (list.size() != 1) return Dump(list);
  return list.front().is_string() ? list.front().get<std::string>() : Dump(list.front());
}

std::string PlainText(std::span<const ApiPrompt> prompts, const Tokenizer* tokenizer) {
  std::string text;
  for (const ApiPrompt& prompt : prompts) {
    if (const auto* messages = std::get_if<Conversation>(&prompt)) {
      for (const ChatMessage& message : *messages) text += message.content + '\n';
      continue;
    }
    bool is_read = false;
    for (const auto& piece : std::get<MixedPrompt>(prompt)) {
      const auto* given = std::get_if<std::string>(&piece);
      if (given == nullptr && tokenizer == nullptr) continue;
      text += given ? *given : TextOf(std::get<std::vector<Token>>(piece), *tokenizer);
      is_read = true;
    }
    if (is_read) text += '\n';
  }
  return text;
}

}  // namespace quern
