// Choice of the next token from logits: penalties, bias, temperature, truncation, seed.
#pragma once

#include <cstdint>
#include <random>
#include <span>
#include <utility>
#include <vector>

#include "gguf/result.h"
#include "runtime/tokenizer.h"

namespace quern {

/// Names and meanings are llama.cpp's; the defaults leave the distribution as the model gives it, except temperature.
struct SamplingParams {
  float temperature = 0.8F;  ///< 0 is greedy
  int top_k = 40;            ///< 0 is all
  float top_p = 0.95F;       ///< 1 is all
  float min_p = 0.05F;       ///< 0 is all
  float typical_p = 1.0F;    ///< 1 is all
  int repeat_last_n = 64;    ///< tokens that penalties look back on; -1 is all, 0 none
  float repeat_penalty = 1.0F;
  float presence_penalty = 0.0F;
  float frequency_penalty = 0.0F;
  std::vector<std::pair<Token, float>> logit_bias;
  uint64_t seed = 0;
  int n_logprobs = -1;  ///< -1: none wanted; else how many top alternatives beside the chosen token's

  /// Errors: kInvalidArgument naming the parameter, its value and the range.
  Status Validate() const;
};

struct TokenLogprob {
  Token token;
  float logprob;
};

/// A chosen token; log-probabilities are of the model's own distribution, before sampling changed it.
struct SampledToken {
  Token token = 0;
  float logprob = 0;
  std::vector<TokenLogprob> top;  ///< best first
};

/// The state of one sequence's sampling: its random numbers and the tokens that penalties count.
class Sampler {
 public:
  explicit Sampler(SamplingParams params);

  /// Tokens of the prompt, for the penalties.
  void Accept(Token token);
  /// Chooses from `logits` (n_vocab floats) and accepts the choice.
  SampledToken Sample(std::span<const float> logits);

  const SamplingParams& params() const { return params_; }

 private:
  SamplingParams params_;
  std::mt19937_64 random_;
  std::vector<Token> recent_;
};

}  // namespace quern
