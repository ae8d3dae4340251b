#include "server/api/response_format.h"

#include <algorithm>

namespace quern {

std::string Dump(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

std::string Sse(const Json& json) { return "data: " + Dump(json) + "\n\n"; }

std::unique_ptr<ResponseFormat> NewFormat(ApiKind kind, ResponseContext context) {
  switch (kind) {
    case ApiKind::kChat:
      return NewChatFormat(std::move(context));
    case ApiKind::kCompletion:
      return NewCompletionFormat(std::move(context));
    case ApiKind::kNative:
      break;
  }
  return NewNativeFormat(std::move(context));
}

Json SamplingJson(const SamplingParams& sampling) {
  Json bias = Json::array();
  for (const auto& [token, value] : sampling.logit_bias)
    bias.push_back({{"token", token}, {"bias", value}});
  return {{"temperature", sampling.temperature},
          {"top_k", sampling.top_k},
          {"top_p", sampling.top_p},
          {"min_p", sampling.min_p},
          {"typical_p", sampling.typical_p},
          {"repeat_last_n", sampling.repeat_last_n},
          {"repeat_penalty", sampling.repeat_penalty},
          {"presence_penalty", sampling.presence_penalty},
          {"frequency_penalty", sampling.frequency_penalty},
          {"logit_bias", std::move(bias)}};
}

double FiniteLogprob(float logprob) { return std::max(logprob, -9999.0F); }

Json BytesJson(std::string_view piece) {
  Json bytes = Json::array();
  for (const char c : piece) bytes.push_back(static_cast<unsigned char>(c));
  return bytes;
}

}  // namespace quern
