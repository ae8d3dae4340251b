#include "server/api/api_request.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <limits>
#include <random>
#include <utility>

#include "server/api/json_fields.h"
#include "server/api/parse_prompts.h"

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
/// OpenAI's legacy completions stop after so many tokens unless told otherwise.
constexpr size_t kLegacyMaxTokens = 16;
constexpr size_t kMostBiases = 1024;
/// The older name is of OpenAI's first such interface.
constexpr std::array kToolFields = {"tools", "functions"};

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

void CheckSupported(const json& body, ApiRequest* request) {
  for (const auto& [name, nothing] : UnsupportedFields()) {
    if (body.contains(name) && !AsksForNothing(body[name], nothing)) {
      NoteUnsupported(Fail(ErrorCode::kUnsupported, "'{}' is not supported", name), request);
    }
  }
}

bool OffersTools(const json& body) {
  const JsonFields fields(body);
  return std::any_of(kToolFields.begin(), kToolFields.end(), [&](const char* name) {
    return fields.Get(name).is_array() && !fields.Get(name).empty();
  });
}

void ReadLogitBias(JsonFields& fields, SamplingRequest* sampling) {
  constexpr std::string_view kExpected = "an object of token ids and numbers";
  if (!fields.Has("logit_bias")) return;
  const json& bias = fields.Get("logit_bias");
  if (bias.size() > kMostBiases) {
    return fields.Fail("logit_bias", bias, fmt::format("at most {} tokens", kMostBiases));
  }
  // llama.cpp's list of pairs, where false forbids a token.
  if (bias.is_array()) {
    for (const json& pair : bias) {
      const bool is_pair = pair.is_array() && pair.size() == 2 && IsTokenId(pair[0]);
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

void ReadSampling(JsonFields& fields, SamplingRequest* sampling) {
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
  if (seed >= 0) sampling->seed = static_cast<uint64_t>(seed);
  ReadLogitBias(fields, sampling);
}

/// Chats ask whether and how many, completions and llama.cpp's clients how many.
void ReadLogprobs(ApiKind kind, JsonFields& fields, SamplingRequest* sampling) {
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
void ReadMaxTokens(ApiKind kind, JsonFields& fields, std::optional<TokenLimit>* max_tokens) {
  const double least = kind == ApiKind::kNative ? -2 : -1;
  std::optional<int64_t> n;
  for (const char* name : {"n_predict", "max_tokens", "max_completion_tokens"}) {
    fields.Number(name, least, kMostInt, &n);
    if (n == 0 && kind == ApiKind::kChat) fields.Fail(name, *n, "at least 1, or -1 for no limit");
  }
  if (!n) return;
  max_tokens->emplace();
  if (*n >= 0) (*max_tokens)->tokens = static_cast<size_t>(*n);
}

void ReadStreamOptions(JsonFields& fields, bool* include_usage) {
  if (!fields.Has("stream_options")) return;
  const json& options = fields.Get("stream_options");
  if (!options.is_object()) return fields.Fail("stream_options", options, "an object");
  JsonFields nested(options);
  nested.Bool("include_usage", include_usage);
  if (!nested.status()) fields.Fail(tl::unexpected(nested.status().error()));
}

void ReadResponseOptions(ApiKind kind, JsonFields& fields, ResponseOptions* response) {
  fields.Bool("stream", &response->stream);
  ReadStreamOptions(fields, &response->include_usage);
  if (kind == ApiKind::kCompletion) fields.Bool("echo", &response->echo);
  if (kind != ApiKind::kNative) return;
  fields.Number("n_keep", -1, kMostInt, &response->n_keep);
  fields.Bool("return_tokens", &response->return_tokens);
  fields.Bool("timings_per_token", &response->timings_per_token);
}

}  // namespace

SamplingParams OpenAiSampling() {
  SamplingParams params;
  params.temperature = 1.0F;
  params.top_k = 0;
  params.top_p = 1.0F;
  params.min_p = 0.0F;
  return params;
}

SamplingParams SamplingRequest::Over(SamplingParams defaults) const {
  SamplingParams params = std::move(defaults);
  const auto set = [](const auto& asked, auto* value) { *value = asked.value_or(*value); };
  set(temperature, &params.temperature);
  set(top_k, &params.top_k);
  set(top_p, &params.top_p);
  set(min_p, &params.min_p);
  set(typical_p, &params.typical_p);
  set(repeat_last_n, &params.repeat_last_n);
  set(repeat_penalty, &params.repeat_penalty);
  set(presence_penalty, &params.presence_penalty);
  set(frequency_penalty, &params.frequency_penalty);
  set(seed, &params.seed);
  set(n_logprobs, &params.n_logprobs);
  params.logit_bias.insert(params.logit_bias.end(), logit_bias.begin(), logit_bias.end());
  return params;
}

GenerateRequest ApiRequest::Generate(const AnswerDefaults& defaults) const {
  GenerateRequest generate;
  generate.sampling = sampling.Over(kind == ApiKind::kNative ? defaults.native : defaults.openai);
  if (!sampling.seed) generate.sampling.seed = defaults.seed.value_or(std::random_device{}());
  if (max_tokens) {
    generate.max_tokens = max_tokens->tokens;
  } else if (defaults.max_tokens) {
    generate.max_tokens = defaults.max_tokens;
  } else if (kind == ApiKind::kCompletion) {
    generate.max_tokens = kLegacyMaxTokens;
  }
  generate.stop = stop;
  generate.ignore_eos = ignore_eos;
  generate.prompt_logprobs = response.echo && generate.sampling.n_logprobs >= 0;
  return generate;
}

Result<ApiRequest> ParseApiRequest(ApiKind kind, const json& body) {
  ApiRequest request;
  request.kind = kind;
  request.has_tools = OffersTools(body);
  CheckSupported(body, &request);
  JsonFields fields(body);
  if (Status status = ReadModelName(body, &request); !status) return Propagate(status);
  Status prompts = kind == ApiKind::kChat ? ReadMessages(fields.Get("messages"), &request)
                                          : ReadPrompts("prompt", fields.Get("prompt"),
                                                        kind == ApiKind::kNative, &request);
  if (!prompts) return Propagate(prompts);
  fields.Number("n", 1, kMostChoices, &request.response.n);
  ReadMaxTokens(kind, fields, &request.max_tokens);
  ReadSampling(fields, &request.sampling);
  ReadLogprobs(kind, fields, &request.sampling);
  fields.Texts("stop", kMostStops, &request.stop);
  fields.Bool("ignore_eos", &request.ignore_eos);
  ReadResponseOptions(kind, fields, &request.response);
  if (!fields.status()) return tl::unexpected(fields.status().error());
  return request;
}

}  // namespace quern
