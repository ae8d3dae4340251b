// Choice of the next token from logits: penalties, bias, temperature, truncation, seed.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <random>
#include <span>
#include <unordered_map>
#include <utility>
#include <vector>

#include "gguf/base/result.h"
#include "runtime/text/token.h"

namespace quern {

/// Names, meanings and defaults are llama.cpp's.
struct SamplingParams {
  float temperature = 0.8F;  ///< 0 is greedy
  int top_k = 40;            ///< 0 or less is all
  float top_p = 0.95F;       ///< 1 is all
  float min_p = 0.05F;       ///< 0 is all
  float typical_p = 1.0F;    ///< 1 is all
  int repeat_last_n = 64;    ///< tokens that penalties look back on; -1 is all, 0 none
  float repeat_penalty = 1.0F;
  float presence_penalty = 0.0F;
  float frequency_penalty = 0.0F;
  std::vector<std::pair<Token, float>> logit_bias;
  uint64_t seed = 0;
  int n_logprobs =
      -1;  ///< -1: none wanted; else how many top alternatives beside the chosen token's

  /// Errors: kInvalidArgument naming the parameter, its value and the range.
  Status Validate() const;
};

struct TokenLogprob {
  Token token;
  float logprob;
};

/// A chosen token; log-probabilities are of the model's own distribution, before sampling changed
/// it, and are computed when n_logprobs asks for them. A token that the model excludes has minus
/// infinity.
struct SampledToken {
  Token token = 0;
  float logprob = 0;
  std::vector<TokenLogprob> top;  ///< best first
};

/// The state of one sequence's sampling: its random numbers and the tokens that penalties count.
/// The same parameters, tokens and logits give the same choices on every machine.
///
/// The order is llama.cpp's: bias, penalties, top-k, typical, top-p, min-p, temperature, draw.
/// Greedy takes the best token that is left before temperature. NaN counts as minus infinity.
class Sampler {
 public:
  /// `params` have passed Validate.
  explicit Sampler(SamplingParams params);

  /// Tokens of the prompt, for the penalties.
  void Accept(Token token);
  /// Chooses from `logits` (n_vocab floats, at least one) and accepts the choice.
  SampledToken Sample(std::span<const float> logits);
  /// The log-probabilities of a token that was not chosen here, such as a prompt's; n_logprobs is
  /// at least 0.
  SampledToken Score(std::span<const float> logits, Token token);

  const SamplingParams& params() const { return params_; }

 private:
  struct Candidate {
    Token token;
    float logit;
    double p;         ///< set by Softmax
    double distance;  ///< set by KeepTypical
  };
  static bool Better(const Candidate& a, const Candidate& b);
  static bool MoreTypical(const Candidate& a, const Candidate& b);

  bool HasPenalties() const;
  std::span<const float> Adjust(std::span<const float> logits);
  void Penalize(std::span<float> logits) const;
  Token Greedy(std::span<const float> logits);
  Token Draw(std::span<const float> logits);
  size_t TopK(std::span<const float> logits) const;
  void AddLogprobs(std::span<const float> logits, SampledToken& sampled);

  // Steps of Draw, on candidates_.
  void TakeBest(std::span<const float> logits, size_t k);
  float BestLogit() const;
  void Softmax(float temperature);
  template <typename Order>
  void SortUntil(double share, Order order);
  void KeepTypical();
  void KeepTopP();
  void KeepMinP();

  SamplingParams params_;
  std::mt19937_64 random_;
  std::deque<Token> recent_;                      ///< the last repeat_last_n tokens, oldest first
  std::unordered_map<Token, int> recent_counts_;  ///< how often each token is in recent_
  std::vector<float> adjusted_;                   ///< logits after bias and penalties
  std::vector<Candidate> candidates_;             ///< in token order, or best first when sorted_
  bool sorted_ = false;
};

}  // namespace quern
