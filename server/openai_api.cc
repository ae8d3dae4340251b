#include "server/openai_api.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>
#include <utility>

namespace quern {
namespace {

using nlohmann::json;

/// A field that changes an answer and is not there yet: refused rather than passed over, unless its
/// value asks for nothing.
struct UnsupportedField {
  const char* name;
  json nothing;  ///< beside null and what is empty
};

const std::vector<UnsupportedField>& UnsupportedFields() {
  static const std::vector<UnsupportedField> kFields = {
      {"tools", nullptr},
      {"tool_choice", "none"},
      {"functions", nullptr},
      {"function_call", "none"},
      {"response_format", {{"type", "text"}}},
      {"logprobs", false},
      {"top_logprobs", 0},
      {"echo", false},
      {"suffix", ""},
      {"grammar", ""},
      {"json_schema", nullptr},
      {"best_of", 1},
      {"modalities", json::array({"text"})},
      {"audio", nullptr},
  };
  return kFields;
}

bool AsksForNothing(const json& value, const json& nothing) {
  return value.is_null() || value == nothing || (value.is_structured() && value.empty());
}

/// Reads fields of one object; the first failure sticks.
class Fields {
 public:
  explicit Fields(const json& object) : object_(object) {}

  Status status() const { return status_; }
  bool Has(const char* name) const {
    const auto at = object_.find(name);
    return at != object_.end() && !at->is_null();
  }

  template <typename T>
  void Number(const char* name, double least, double most, T* value) {
    if (!Has(name) || !status_) return;
    const json& found = object_[name];
    const double number = found.is_number() ? found.get<double>() : NAN;
    const bool whole = !std::is_integral_v<T> || number == std::floor(number);
    if (!(number >= least && number <= most) || !whole) {
      Stick(name, found,
            fmt::format("a {} from {} to {}", std::is_integral_v<T> ? "whole number" : "number",
                        least, most));
      return;
    }
    *value = static_cast<T>(number);
  }

  void Bool(const char* name, bool* value) {
    if (!Has(name) || !status_) return;
    if (object_[name].is_boolean()) {
      *value = object_[name].get<bool>();
    } else {
      Stick(name, object_[name], "true or false");
    }
  }

  void Stick(std::string_view name, const json& found, std::string_view expected) {
    if (!status_) return;
    std::string text = found.dump(-1, ' ', false, json::error_handler_t::replace);
    if (text.size() > 60) text = text.substr(0, 57) + "...";
    status_ = Fail(ErrorCode::kInvalidArgument, "'{}' is {}, expected {}", name, text, expected);
  }
  void Stick(tl::unexpected<Error> error) {
    if (status_) status_ = std::move(error);
  }

 private:
  const json& object_;
  Status status_;
};

/// The text of a message: a string, or OpenAI's list of text parts.
bool ReadContent(const json& content, std::string* text) {
  if (content.is_string()) {
    *text = content.get<std::string>();
    return true;
  }
  if (!content.is_array()) return false;
  for (const json& part : content) {
    if (!part.is_object() || part.value("type", json()) != "text" || !part.contains("text") ||
        !part["text"].is_string()) {
      return false;
    }
    *text += part["text"].get<std::string>();
  }
  return true;
}

void ReadMessages(const json& body, Fields& fields, ApiRequest* request) {
  const json messages = body.value("messages", json());
  if (!messages.is_array() || messages.empty()) {
    fields.Stick("messages", messages, "a list of at least one message");
    return;
  }
  std::vector<ChatMessage> conversation;
  for (size_t i = 0; i < messages.size(); ++i) {
    const json& message = messages[i];
    const std::string name = "messages[" + std::to_string(i) + "]";
    if (!message.is_object() || !message.contains("role") || !message["role"].is_string()) {
      fields.Stick(name, message, "an object with a role");
      return;
    }
    ChatMessage& read = conversation.emplace_back();
    read.role = message["role"].get<std::string>();
    if (!message.contains("content") || !ReadContent(message["content"], &read.content)) {
      fields.Stick(name + ".content", message.value("content", json()),
                   "a text or a list of text parts");
      return;
    }
  }
  request->input = std::move(conversation);
}

void ReadPrompt(const json& body, Fields& fields, ApiRequest* request) {
  json prompt = body.value("prompt", json());
  // A list of one prompt is that prompt.
  if (prompt.is_array() && prompt.size() == 1 && !prompt[0].is_number()) prompt = json(prompt[0]);
  if (prompt.is_string()) {
    request->input = prompt.get<std::string>();
    return;
  }
  const auto is_token = [](const json& id) {
    return id.is_number_integer() && id >= 0 && id <= std::numeric_limits<Token>::max();
  };
  if (!prompt.is_array() || prompt.empty() ||
      !std::all_of(prompt.begin(), prompt.end(), is_token)) {
    fields.Stick("prompt", prompt, "one text or one list of token ids");
    return;
  }
  request->input = prompt.get<std::vector<Token>>();
}

void ReadStops(const json& body, Fields& fields, ApiRequest* request) {
  if (!fields.Has("stop")) return;
  const json& stop = body["stop"];
  std::vector<std::string>& stops = request->generate.stop;
  if (stop.is_string()) {
    stops.push_back(stop.get<std::string>());
    return;
  }
  const auto is_text = [](const json& text) { return text.is_string(); };
  if (!stop.is_array() || stop.size() > 16 || !std::all_of(stop.begin(), stop.end(), is_text)) {
    fields.Stick("stop", stop, "a text or a list of at most 16 texts");
    return;
  }
  stops = stop.get<std::vector<std::string>>();
}

void ReadLogitBias(const json& body, Fields& fields, SamplingParams* sampling) {
  if (!fields.Has("logit_bias")) return;
  const json& bias = body["logit_bias"];
  if (!bias.is_object()) {
    fields.Stick("logit_bias", bias, "an object of token ids and numbers");
    return;
  }
  for (const auto& [key, value] : bias.items()) {
    const bool is_id =
        !key.empty() && key.size() <= 9 && key.find_first_not_of("0123456789") == std::string::npos;
    if (!is_id || !value.is_number()) {
      fields.Stick("logit_bias", bias, "an object of token ids and numbers");
      return;
    }
    sampling->logit_bias.emplace_back(std::stoi(key), value.get<float>());
  }
}

void ReadSampling(const json& body, Fields& fields, SamplingParams* sampling) {
  constexpr double kMostTokens = std::numeric_limits<int>::max();
  // OpenAI's defaults, not the command line's: clients that send nothing expect these.
  sampling->temperature = 1.0F;
  sampling->top_k = 0;
  sampling->top_p = 1.0F;
  sampling->min_p = 0.0F;
  sampling->seed = std::random_device{}();
  fields.Number("temperature", 0, 100, &sampling->temperature);
  fields.Number("top_k", 0, kMostTokens, &sampling->top_k);
  fields.Number("top_p", 0, 1, &sampling->top_p);
  fields.Number("min_p", 0, 1, &sampling->min_p);
  fields.Number("typical_p", 0, 1, &sampling->typical_p);
  fields.Number("repeat_last_n", -1, kMostTokens, &sampling->repeat_last_n);
  fields.Number("repeat_penalty", 0, 100, &sampling->repeat_penalty);
  fields.Number("presence_penalty", -100, 100, &sampling->presence_penalty);
  fields.Number("frequency_penalty", -100, 100, &sampling->frequency_penalty);
  fields.Number("seed", 0, 9007199254740992.0, &sampling->seed);
  ReadLogitBias(body, fields, sampling);
}

const char* ReasonName(FinishReason reason) {
  return reason == FinishReason::kLength ? "length" : "stop";
}

Json HeadJson(const ResponseHead& head, bool chunk) {
  const bool chat = head.kind == ApiKind::kChat;
  const char* object =
      chat ? (chunk ? "chat.completion.chunk" : "chat.completion") : "text_completion";
  return {{"id", head.id}, {"object", object}, {"created", head.created}, {"model", head.model}};
}

Json ChunkOf(const ResponseHead& head, Json delta, std::string_view text, const Json& reason) {
  Json choice = {{"index", 0}};
  if (head.kind == ApiKind::kChat) {
    choice["delta"] = std::move(delta);
  } else {
    choice["text"] = text;
  }
  choice["logprobs"] = nullptr;
  choice["finish_reason"] = reason;
  Json chunk = HeadJson(head, true);
  chunk["choices"] = Json::array({std::move(choice)});
  return chunk;
}

}  // namespace

Result<ApiRequest> ParseApiRequest(ApiKind kind, std::string_view text) {
  json body;
  try {
    body = json::parse(text);
  } catch (const json::exception& error) {
    return Fail(ErrorCode::kInvalidArgument, "the body is not JSON: {}", error.what());
  }
  if (!body.is_object()) {
    return Fail(ErrorCode::kInvalidArgument, "the body is JSON, expected an object");
  }
  for (const auto& [name, nothing] : UnsupportedFields()) {
    if (body.contains(name) && !AsksForNothing(body[name], nothing)) {
      return Fail(ErrorCode::kUnsupported, "'{}' is not supported", name);
    }
  }
  Fields fields(body);
  ApiRequest request;
  if (kind == ApiKind::kChat) {
    ReadMessages(body, fields, &request);
  } else {
    ReadPrompt(body, fields, &request);
  }
  int n = 1;
  fields.Number("n", 1, 128, &n);
  if (n != 1) return Fail(ErrorCode::kUnsupported, "'n' is {}, only 1 is supported", n);

  // OpenAI's legacy completions stop after 16 tokens unless told otherwise.
  request.generate.max_tokens = kind == ApiKind::kChat ? 0 : 16;
  constexpr double kMost = std::numeric_limits<int>::max();
  fields.Number("max_tokens", 1, kMost, &request.generate.max_tokens);
  fields.Number("max_completion_tokens", 1, kMost, &request.generate.max_tokens);
  fields.Bool("ignore_eos", &request.generate.ignore_eos);
  fields.Bool("stream", &request.stream);
  if (fields.Has("stream_options")) {
    const json& options = body["stream_options"];
    if (options.is_object()) {
      Fields nested(options);
      nested.Bool("include_usage", &request.include_usage);
      if (Status status = nested.status(); !status) fields.Stick(Propagate(status));
    } else {
      fields.Stick("stream_options", options, "an object");
    }
  }
  ReadStops(body, fields, &request);
  ReadSampling(body, fields, &request.generate.sampling);
  if (Status status = fields.status(); !status) return Propagate(status);
  return request;
}

std::string NewResponseId(ApiKind kind) {
  static constexpr std::string_view kLetters = "abcdefghijklmnopqrstuvwxyz0123456789";
  std::random_device random;
  std::string id = kind == ApiKind::kChat ? "chatcmpl-" : "cmpl-";
  for (int i = 0; i < 24; ++i) id += kLetters[random() % kLetters.size()];
  return id;
}

Json UsageJson(const GenerateStats& stats) {
  return {{"prompt_tokens", stats.prompt_tokens},
          {"completion_tokens", stats.generated_tokens},
          {"total_tokens", stats.prompt_tokens + stats.generated_tokens},
          {"prompt_tokens_details", {{"cached_tokens", stats.cached_tokens}}}};
}

Json ResponseJson(const ResponseHead& head, std::string_view text, FinishReason reason,
                  const GenerateStats& stats) {
  Json choice = {{"index", 0}};
  if (head.kind == ApiKind::kChat) {
    choice["message"] = {{"role", "assistant"}, {"content", text}};
  } else {
    choice["text"] = text;
  }
  choice["logprobs"] = nullptr;
  choice["finish_reason"] = ReasonName(reason);
  Json response = HeadJson(head, false);
  response["choices"] = Json::array({std::move(choice)});
  response["usage"] = UsageJson(stats);
  return response;
}

Json ChunkJson(const ResponseHead& head, std::string_view text, bool first) {
  Json delta = Json::object();
  if (first) delta["role"] = "assistant";
  delta["content"] = text;
  return ChunkOf(head, std::move(delta), text, nullptr);
}

Json LastChunkJson(const ResponseHead& head, FinishReason reason) {
  return ChunkOf(head, Json::object(), "", ReasonName(reason));
}

Json UsageChunkJson(const ResponseHead& head, const GenerateStats& stats) {
  Json chunk = HeadJson(head, true);
  chunk["choices"] = Json::array();
  chunk["usage"] = UsageJson(stats);
  return chunk;
}

Json ModelsJson(const Model& model, std::string_view id, int64_t created) {
  const HParams& hparams = model.hparams();
  return {{"object", "list"},
          {"data", Json::array({{{"id", id},
                                 {"object", "model"},
                                 {"created", created},
                                 {"owned_by", "me"},
                                 {"permissions", Json::array()},
                                 {"meta",
                                  {{"n_vocab", hparams.n_vocab},
                                   {"n_ctx_train", hparams.n_ctx_train},
                                   {"n_embd", hparams.n_embd},
                                   {"size", model.weights().size()}}}}})}};
}

Json ErrorJson(const Error& error) {
  const int status = StatusOf(error);
  const char* type = status == 404   ? "not_found_error"
                     : status == 429 ? "rate_limit_error"
                     : status == 500 ? "server_error"
                     : status == 503 ? "unavailable_error"
                                     : "invalid_request_error";
  return {{"error", {{"message", error.message}, {"type", type}, {"code", status}}}};
}

int StatusOf(const Error& error) {
  switch (error.code) {
    case ErrorCode::kNotFound:
      return 404;
    case ErrorCode::kOutOfMemory:
      return 429;
    case ErrorCode::kInvalidArgument:
    case ErrorCode::kUnsupported:
      return 400;
    case ErrorCode::kCancelled:
      return 503;
    case ErrorCode::kCorruptFile:
    case ErrorCode::kIo:
      return 500;
  }
  return 500;
}

}  // namespace quern
