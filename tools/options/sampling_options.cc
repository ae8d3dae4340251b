#include "tools/options/sampling_options.h"

#include <string_view>

#include "gguf/base/parse_number.h"

namespace quern {
namespace {

template <typename T>
void Override(T& param, const std::optional<T>& option) {
  if (option) param = *option;
}

}  // namespace

void SamplingOptions::AddTo(CLI::App* command, const std::string& defaults) {
  const std::string group = "Sampling (default: " + defaults + ")";
  const auto add = [&](const char* names, auto& value, const char* description) {
    return command->add_option(names, value, description)->group(group);
  };
  add("--temp,--temperature", temperature_, "Temperature; 0: always the most probable token");
  add("--top-k", top_k_, "Keep the K most probable tokens; 0: all");
  add("--top-p", top_p_, "Keep the most probable tokens that hold P of the probability; 1: all");
  add("--min-p", min_p_, "Keep tokens at least P times as probable as the best; 0: all");
  add("--typical,--typical-p", typical_p_, "Locally typical sampling with P; 1: off");
  add("--repeat-last-n", repeat_last_n_, "Tokens that penalties look back on; -1: all, 0: none");
  add("--repeat-penalty", repeat_penalty_, "Divide logits of earlier tokens by this; 1: off");
  add("--presence-penalty", presence_penalty_, "Subtract from logits of earlier tokens; 0: off");
  add("--frequency-penalty", frequency_penalty_,
      "Subtract for each time that a token came before; 0: off");
  add("-l,--logit-bias", logit_bias_,
      "Add to a token's logit, as 15+1.5, 15-1 or 15-inf; may be given again");
  add("-s,--seed", seed_, "Seed of the random numbers; -1: another each time (default)")
      ->check(CLI::Range(int64_t{-1}, INT64_MAX));
}

Result<SamplingParams> SamplingOptions::Over(SamplingParams params) const {
  Override(params.temperature, temperature_);
  Override(params.top_k, top_k_);
  Override(params.top_p, top_p_);
  Override(params.min_p, min_p_);
  Override(params.typical_p, typical_p_);
  Override(params.repeat_last_n, repeat_last_n_);
  Override(params.repeat_penalty, repeat_penalty_);
  Override(params.presence_penalty, presence_penalty_);
  Override(params.frequency_penalty, frequency_penalty_);
  for (const std::string& text : logit_bias_) {
    Result<std::pair<Token, float>> bias = ParseLogitBias(text);
    if (!bias) return Propagate(bias);
    params.logit_bias.push_back(*bias);
  }
  if (Status status = params.Validate(); !status) return Propagate(status);
  return params;
}

Result<std::pair<Token, float>> ParseLogitBias(const std::string& text) {
  const size_t sign = text.find_first_of("+-", 1);
  if (sign != std::string::npos) {
    const auto token = ParseNumber<Token>(std::string_view(text).substr(0, sign));
    // ParseNumber reads a minus sign, but no plus.
    const auto bias =
        ParseNumber<float>(std::string_view(text).substr(text[sign] == '+' ? sign + 1 : sign));
    if (token && *token >= 0 && bias) return std::pair(*token, *bias);
  }
  return Fail(ErrorCode::kInvalidArgument,
              "--logit-bias '{}': expected a token id, a sign and a number, as 15+1.5 or 15-inf",
              text);
}

}  // namespace quern
