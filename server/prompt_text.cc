#include "server/prompt_text.h"

#include <nlohmann/json.hpp>
#include <variant>

#include "server/response_format.h"

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

}  // namespace

std::string PromptText(std::span<const ApiPrompt> prompts) {
  Json list = Json::array();
  for (const ApiPrompt& prompt : prompts) list.push_back(Value(prompt));
  if (list.size() != 1) return Dump(list);
  return list.front().is_string() ? list.front().get<std::string>() : Dump(list.front());
}

}  // namespace quern
