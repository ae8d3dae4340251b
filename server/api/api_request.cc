#include "server/api/api_request.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <random>
#include <utility>

#include "server/api/json_fields.h"

namespace quern {
namespace {

using nlohmann::json;

constexpr double kMostInt = std::numeric_limits<int>::max();
constexpr double kMostSeed =
    9007199254740992.0;  // 2^53: whole numbers that JSON's readers agree on
/// Alternatives of a token; OpenAI has 20 for chats and 5 for completions.
constexpr double kMostLogprobs = 100;
constexpr double kMostChoices = 128;
constexpr size_t kMostStops = 16;
constexpr size_t kMostBiases = 1024;

/// A field that changes an answer and is not there yet: refused rather than passed over, unless its
/// value asks for nothing.
struct UnsupportedField {
  const char* name;
  std::vector<json> nothing;  ///< beside null and what is empty
};

const std::vector<UnsupportedField>& UnsupportedFields() {
  static const std::vector<UnsupportedField> kFields = {
      // OpenAI's
      {"tools", {}},
      {"tool_choice", {"none"}},
      {"functions", {}},
      {"function_call", {"none"}},
      {"response_format", {{{"type", "text"}}}},
      {"suffix", {""}},
      {"best_of", {1}},
      {"modalities", {json::array({"text"})}},
      {"audio", {}},
      // llama.cpp's
      {"grammar", {""}},
      {"json_schema", {}},
      {"mirostat", {0}},
      {"dynatemp_range", {0}},
      {"dry_multiplier", {0}},
      {"xtc_probability", {0}},
      {"top_n_sigma", {-1, 0}},
      {"samplers", {}},
      {"n_indent", {0}},
      {"t_max_predict_ms", {-1, 0}},
      {"post_sampling_probs", {false}},
      {"response_fields", {}},
      {"return_progress", {false}},
      {"lora", {}},
      {"image_data", {}},
  };
  return kFields;
}

bool AsksForNothing(const json& value, const std::vector<json>& nothing) {
  return value.is_null() || (value.is_structured() && value.empty()) ||
         std::find(nothing.begin(), nothing.end(), value) != nothing.end();
}

Status CheckSupported(const json& body) {
  for (const auto& [name, nothing] : UnsupportedFields()) {
    if (body.contains(name) && !AsksForNothing(body[name], nothing)) {
      return Fail(ErrorCode::kUnsupported, "'{}' is not supported", name);
    }
  }
  return {};
}

bool IsToken(const json& value) {
  return value.is_number_integer() && value >= 0 && value <= std::numeric_limits<Token>::max();
}

tl::unexpected<Error> Unexpected(std::string_view name, const json& found,
                                 std::string_view expected) {
  JsonFields fields(found);
  fields.Fail(name, found, expected);
  return tl::unexpected(fields.status().error());
}

/// A text or a list of token ids; where it may be `mixed`, texts between them, and llama.cpp's
/// object with a text.
Result<ApiPrompt> ParsePrompt(std::string_view name, const json& value, bool mixed) {
  const std::string_view expected =
      mixed ? "a text, or a list of token ids and texts" : "a text or a list of token ids";
  if (value.is_string()) return MixedPrompt{value.get<std::string>()};
  if (mixed && value.is_object() && value.contains("prompt_string") &&
      value["prompt_string"].is_string()) {
    if (value.contains("multimodal_data") && !value["multimodal_data"].empty()) {
      return Fail(ErrorCode::kUnsupported, "'multimodal_data' is not supported");
    }
    return MixedPrompt{value["prompt_string"].get<std::string>()};
  }
  if (!value.is_array() || value.empty()) return Unexpected(name, value, expected);
  MixedPrompt prompt;
  for (const json& piece : value) {
    if (mixed && piece.is_string()) {
      prompt.emplace_back(piece.get<std::string>());
      continue;
    }
    if (!IsToken(piece)) return Unexpected(name, value, expected);
    if (prompt.empty() || std::holds_alternative<std::string>(prompt.back())) {
      prompt.emplace_back(std::vector<Token>());
    }
    std::get<std::vector<Token>>(prompt.back()).push_back(piece.get<Token>());
  }
  return prompt;
}

/// The text of a message: a string, or OpenAI's list of text parts.
Status ReadContent(const std::string& name, const json& content, std::string* text) {
  constexpr std::string_view kExpected = "a text or a list of text parts";
  if (content.is_string()) {
    *text = content.get<std::string>();
    return {};
  }
  if (!content.is_array()) return Unexpected(name, content, kExpected);
  for (const json& part : content) {
    if (!part.is_object() || !part.contains("type") || !part["type"].is_string()) {
      return Unexpected(name, content, kExpected);
    }
    if (part["type"] != "text") {
      return Fail(ErrorCode::kUnsupported, "'{}' has a part of type {}, only text is supported",
                  name, part["type"].dump(-1, ' ', true, json::error_handler_t::replace));
    }
    if (!part.contains("text") || !part["text"].is_string()) {
      return Unexpected(name, content, kExpected);
    }
    *text += part["text"].get<std::string>();
  }
  return {};
}

void ReadLogitBias(JsonFields& fields, SamplingParams* sampling) {
  constexpr std::string_view kExpected = "an object of token ids and numbers";
  if (!fields.Has("logit_bias")) return;
  const json& bias = fields.Get("logit_bias");
  if (bias.size() > kMostBiases) {
    return fields.Fail("logit_bias", bias, fmt::format("at most {} tokens", kMostBiases));
  }
  // llama.cpp's list of pairs, where false forbids a token.
  if (bias.is_array()) {
    for (const json& pair : bias) {
      const bool is_pair = pair.is_array() && pair.size() == 2 && IsToken(pair[0]);
      if (!is_pair || !(pair[1].is_number() || pair[1] == false)) {
        return fields.Fail("logit_bias", bias, "a list of pairs of a token id and a number");
      }
      sampling->logit_bias.emplace_back(
          pair[0].get<Token>(),
          pair[1].is_number() ? pair[1].get<float>() : -std::numeric_limits<float>::infinity());
    }
    return;
  }
  if (!bias.is_object()) return fields.Fail("logit_bias", bias, kExpected);
  for (const auto& [key, value] : bias.items()) {
    const bool is_id =
        !key.empty() && key.size() <= 9 && key.find_first_not_of("0123456789") == std::string::npos;
    if (!is_id || !value.is_number()) return fields.Fail("logit_bias", bias, kExpected);
    sampling->logit_bias.emplace_back(std::stoi(key), value.get<float>());
  }
}

void ReadSampling(JsonFields& fields, std::optional<uint64_t> default_seed,
                  SamplingParams* sampling) {
  fields.Number("temperature", 0, 100, &sampling->temperature);
  fields.Number("top_k", -1, kMostInt, &sampling->top_k);
  fields.Number("top_p", 0, 1, &sampling->top_p);
  fields.Number("min_p", 0, 1, &sampling->min_p);
  fields.Number("typical_p", 0, 1, &sampling->typical_p);
  fields.Number("repeat_last_n", -1, kMostInt, &sampling->repeat_last_n);
  fields.Number("repeat_penalty", 0, 100, &sampling->repeat_penalty);
  fields.Number("presence_penalty", -100, 100, &sampling->presence_penalty);
  fields.Number("frequency_penalty", -100, 100, &sampling->frequency_penalty);
  int64_t seed = -1;
  fields.Number("seed", -1, kMostSeed, &seed);
  if (seed >= 0) {
    sampling->seed = static_cast<uint64_t>(seed);
  } else {
    sampling->seed = default_seed.value_or(std::random_device{}());
  }
  ReadLogitBias(fields, sampling);
}

/// Chats ask whether and how many, completions and llama.cpp's clients how many.
void ReadLogprobs(ApiKind kind, JsonFields& fields, SamplingParams* sampling) {
  switch (kind) {
    case ApiKind::kChat: {
      bool wanted = false;
      int n_top = 0;
      fields.Bool("logprobs", &wanted);
      fields.Number("top_logprobs", 0, kMostLogprobs, &n_top);
      if (wanted) sampling->n_logprobs = n_top;
      if (!wanted && n_top > 0) {
        fields.Fail("top_logprobs", n_top, "nothing, unless 'logprobs' is true");
      }
      break;
    }
    case ApiKind::kCompletion:
      // Chat's way to say that none are wanted is common here too.
      if (fields.Get("logprobs") == false) break;
      fields.Number("logprobs", 0, kMostLogprobs, &sampling->n_logprobs);
      break;
    case ApiKind::kNative: {
      int n_probs = 0;
      fields.Number("n_probs", 0, kMostLogprobs, &n_probs);
      if (n_probs > 0) sampling->n_logprobs = n_probs;
      break;
    }
  }
}

/// -1 is no limit, as many clients send it; -2 in llama.cpp until the context is full.
void ReadMaxTokens(ApiKind kind, JsonFields& fields, std::optional<size_t> default_tokens,
                   std::optional<size_t>* max_tokens) {
  // OpenAI's legacy completions stop after 16 tokens unless told otherwise.
  int64_t n = kind == ApiKind::kCompletion ? 16 : -1;
  if (default_tokens) n = static_cast<int64_t>(*default_tokens);
  const double least = kind == ApiKind::kNative ? -2 : -1;
  for (const char* name : {"n_predict", "max_tokens", "max_completion_tokens"}) {
    fields.Number(name, least, kMostInt, &n);
    if (n == 0 && kind == ApiKind::kChat) fields.Fail(name, n, "at least 1, or -1 for no limit");
  }
  if (n >= 0) *max_tokens = static_cast<size_t>(n);
}

void ReadStreamOptions(JsonFields& fields, bool* include_usage) {
  if (!fields.Has("stream_options")) return;
  const json& options = fields.Get("stream_options");
  if (!options.is_object()) return fields.Fail("stream_options", options, "an object");
  JsonFields nested(options);
  nested.Bool("include_usage", include_usage);
  if (!nested.status()) fields.Fail(tl::unexpected(nested.status().error()));
}

}  // namespace

Result<Conversation> ParseMessages(const json& value) {
  if (!value.is_array() || value.empty()) {
    return Unexpected("messages", value, "a list of at least one message");
  }
  Conversation conversation;
  for (size_t i = 0; i < value.size(); ++i) {
    const json& message = value[i];
    const std::string name = fmt::format("messages[{}]", i);
    if (!message.is_object() || !message.contains("role") || !message["role"].is_string()) {
      return Unexpected(name, message, "an object with a role");
    }
    if (!AsksForNothing(message.value("tool_calls", json()), {})) {
      return Fail(ErrorCode::kUnsupported, "'{}.tool_calls' is not supported", name);
    }
    ChatMessage& read = conversation.emplace_back();
    read.role = message["role"].get<std::string>();
    if (Status status =
            ReadContent(name + ".content", message.value("content", json()), &read.content);
        !status) {
      return Propagate(status);
    }
  }
  return conversation;
}

Result<std::vector<ApiPrompt>> ParsePrompts(std::string_view name, const json& value, bool mixed) {
  const auto is_prompt = [](const json& each) {
    return each.is_array() || each.is_object() || each.is_string();
  };
  // A list without token ids of its own is a list of prompts.
  const bool is_list =
      value.is_array() && !value.empty() && std::all_of(value.begin(), value.end(), is_prompt);
  std::vector<ApiPrompt> prompts;
  prompts.reserve(is_list ? value.size() : 1);
  for (size_t i = 0; i < (is_list ? value.size() : 1); ++i) {
    Result<ApiPrompt> prompt = ParsePrompt(name, is_list ? value[i] : value, mixed);
    if (!prompt) return Propagate(prompt);
    prompts.push_back(*std::move(prompt));
  }
  return prompts;
}

SamplingParams OpenAiSampling() {
  SamplingParams params;
  params.temperature = 1.0F;
  params.top_k = 0;
  params.top_p = 1.0F;
  params.min_p = 0.0F;
  return params;
}

Result<ApiRequest> ParseApiRequest(ApiKind kind, const json& body, const AnswerDefaults& defaults) {
  if (Status status = CheckSupported(body); !status) return Propagate(status);

  JsonFields fields(body);
  ApiRequest request;
  if (kind == ApiKind::kChat) {
    Result<Conversation> conversation = ParseMessages(fields.Get("messages"));
    if (!conversation) return Propagate(conversation);
    request.prompts.emplace_back(*std::move(conversation));
  } else {
    Result<std::vector<ApiPrompt>> prompts =
        ParsePrompts("prompt", fields.Get("prompt"), kind == ApiKind::kNative);
    if (!prompts) return Propagate(prompts);
    request.prompts = *std::move(prompts);
  }
  fields.Number("n", 1, kMostChoices, &request.n);
  GenerateRequest& generate = request.generate;
  ReadMaxTokens(kind, fields, defaults.max_tokens, &generate.max_tokens);
  generate.sampling = kind == ApiKind::kNative ? defaults.native : defaults.openai;
  ReadSampling(fields, defaults.seed, &generate.sampling);
  ReadLogprobs(kind, fields, &generate.sampling);
  fields.Texts("stop", kMostStops, &generate.stop);
  fields.Bool("ignore_eos", &generate.ignore_eos);
  fields.Bool("stream", &request.stream);
  ReadStreamOptions(fields, &request.include_usage);
  if (kind == ApiKind::kCompletion) fields.Bool("echo", &request.echo);
  generate.prompt_logprobs = request.echo && generate.sampling.n_logprobs >= 0;
  if (kind == ApiKind::kNative) {
    fields.Number("n_keep", -1, kMostInt, &request.n_keep);
    fields.Bool("return_tokens", &request.return_tokens);
    fields.Bool("timings_per_token", &request.timings_per_token);
  }
  if (!fields.status()) return tl::unexpected(fields.status().error());
  return request;
}

}  // namespace quern
