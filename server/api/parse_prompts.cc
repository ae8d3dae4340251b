#include "server/api/parse_prompts.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "server/api/json_fields.h"

namespace quern {
namespace {

using nlohmann::json;

tl::unexpected<Error> Unexpected(std::string_view name, const json& found,
                                 std::string_view expected) {
  JsonFields fields(found);
  fields.Fail(name, found, expected);
  return tl::unexpected(fields.status().error());
}

/// The value of an object's field; null where it is absent.
const json& Field(const json& object, const char* name) { return JsonFields(object).Get(name); }

/// A text or a list of token ids; where it may be `mixed`, texts between them, and llama.cpp's
/// object with a text.
Status ReadPrompt(std::string_view name, const json& value, bool mixed, ModelRequest* request) {
  const std::string_view expected =
      mixed ? "a text, or a list of token ids and texts" : "a text or a list of token ids";
  if (value.is_string()) {
    request->prompts.emplace_back(MixedPrompt{value.get<std::string>()});
    return {};
  }
  if (mixed && value.is_object() && Field(value, "prompt_string").is_string()) {
    if (!Field(value, "multimodal_data").empty()) {
      NoteUnsupported(Fail(ErrorCode::kUnsupported, "'multimodal_data' is not supported"), request);
    }
    request->prompts.emplace_back(MixedPrompt{value["prompt_string"].get<std::string>()});
    return {};
  }
  if (!value.is_array() || value.empty()) return Unexpected(name, value, expected);
  MixedPrompt prompt;
  for (const json& piece : value) {
    if (mixed && piece.is_string()) {
      prompt.emplace_back(piece.get<std::string>());
      continue;
    }
    if (!IsTokenId(piece)) return Unexpected(name, value, expected);
    if (prompt.empty() || std::holds_alternative<std::string>(prompt.back())) {
      prompt.emplace_back(std::vector<Token>());
    }
    std::get<std::vector<Token>>(prompt.back()).push_back(piece.get<Token>());
  }
  request->prompts.emplace_back(std::move(prompt));
  return {};
}

/// The text of a message: a string, or the text parts of OpenAI's list.
Status ReadContent(const std::string& name, const json& content, ModelRequest* request,
                   std::string* text) {
  constexpr std::string_view kExpected = "a text or a list of text parts";
  if (content.is_string()) {
    *text = content.get<std::string>();
    return {};
  }
  if (!content.is_array()) return Unexpected(name, content, kExpected);
  for (const json& part : content) {
    if (!part.is_object() || !Field(part, "type").is_string()) {
      return Unexpected(name, content, kExpected);
    }
    const json& type = part["type"];
    if (type != "text") {
      if (type == "image_url" || type == "input_image") request->has_images = true;
      NoteUnsupported(
          Fail(ErrorCode::kUnsupported, "'{}' has a part of type {}, only text is supported", name,
               type.dump(-1, ' ', true, json::error_handler_t::replace)),
          request);
      continue;
    }
    if (!Field(part, "text").is_string()) return Unexpected(name, content, kExpected);
    *text += part["text"].get_ref<const std::string&>();
  }
  return {};
}

Status ReadMessage(const std::string& name, const json& message, ModelRequest* request,
                   ChatMessage* read) {
  if (!message.is_object() || !Field(message, "role").is_string()) {
    return Unexpected(name, message, "an object with a role");
  }
  read->role = message["role"].get<std::string>();
  const json& content = Field(message, "content");
  if (!AsksForNothing(Field(message, "tool_calls"))) {
    NoteUnsupported(Fail(ErrorCode::kUnsupported, "'{}.tool_calls' is not supported", name),
                    request);
    if (content.is_null()) return {};  // the calls stand for it
  }
  return ReadContent(name + ".content", content, request, &read->content);
}

}  // namespace

void NoteUnsupported(tl::unexpected<Error> error, ModelRequest* request) {
  if (!request->unsupported) request->unsupported = std::move(error.value());
}

Status ReadModelName(const json& body, ModelRequest* request) {
  JsonFields fields(body);
  fields.Text("model", &request->model);
  return fields.status();
}

Status ReadMessages(const json& value, ModelRequest* request) {
  if (!value.is_array() || value.empty()) {
    return Unexpected("messages", value, "a list of at least one message");
  }
  Conversation conversation(value.size());
  for (size_t i = 0; i < value.size(); ++i) {
    Status status =
        ReadMessage(fmt::format("messages[{}]", i), value[i], request, &conversation[i]);
    if (!status) return status;
  }
  request->prompts.emplace_back(std::move(conversation));
  return {};
}

Status ReadPrompts(std::string_view name, const json& value, bool mixed, ModelRequest* request) {
  const auto is_prompt = [](const json& each) {
    return each.is_array() || each.is_object() || each.is_string();
  };
  // A list without token ids of its own is a list of prompts.
  if (!value.is_array() || value.empty() || !std::all_of(value.begin(), value.end(), is_prompt)) {
    return ReadPrompt(name, value, mixed, request);
  }
  request->prompts.reserve(value.size());
  for (const json& each : value) {
    if (Status status = ReadPrompt(name, each, mixed, request); !status) return status;
  }
  return {};
}

Status ReadTokens(std::string_view name, const json& value, ModelRequest* request) {
  if (!value.is_array() || !std::all_of(value.begin(), value.end(), IsTokenId)) {
    return Unexpected(name, value, "a list of token ids");
  }
  request->prompts.emplace_back(MixedPrompt{value.get<std::vector<Token>>()});
  return {};
}

}  // namespace quern
