#include "runtime/engine/sampler.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "gguf/base/check.h"

namespace quern {
namespace {

constexpr float kMinusInfinity = -std::numeric_limits<float>::infinity();

/// A logit that can be compared and subtracted: NaN and infinities become the values they stand
/// for.
float Clean(float logit) {
  if (std::isnan(logit)) return kMinusInfinity;
  return std::min(logit, std::numeric_limits<float>::max());
}

/// Uniform in [0, 1) from the upper 53 bits: std::uniform_real_distribution differs between
/// libraries.
double Uniform(std::mt19937_64& random) {
  constexpr double kUnit = 0x1p-53;
  return static_cast<double>(random() >> 11) * kUnit;
}

Token Best(std::span<const float> logits) {
  size_t best = 0;
  float best_logit = kMinusInfinity;
  for (size_t i = 0; i < logits.size(); ++i) {
    if (logits[i] > best_logit) {
      best_logit = logits[i];
      best = i;
    }
  }
  return static_cast<Token>(best);
}

Status CheckRange(const char* name, float value, float low, float high) {
  if (value >= low && value <= high) return {};
  return Fail(ErrorCode::kInvalidArgument, "{} is {}, expected {} to {}", name, value, low, high);
}

Status CheckFinite(const char* name, float value) {
  if (std::isfinite(value)) return {};
  return Fail(ErrorCode::kInvalidArgument, "{} is {}, expected a finite number", name, value);
}

}  // namespace

Status SamplingParams::Validate() const {
  if (!(temperature >= 0) || !std::isfinite(temperature)) {
    return Fail(ErrorCode::kInvalidArgument, "temperature is {}, expected 0 or more", temperature);
  }
  if (!(repeat_penalty > 0) || !std::isfinite(repeat_penalty)) {
    return Fail(ErrorCode::kInvalidArgument, "repeat_penalty is {}, expected more than 0",
                repeat_penalty);
  }
  if (repeat_last_n < -1) {
    return Fail(ErrorCode::kInvalidArgument, "repeat_last_n is {}, expected -1 (all) or more",
                repeat_last_n);
  }
  if (n_logprobs < -1) {
    return Fail(ErrorCode::kInvalidArgument, "n_logprobs is {}, expected -1 (none) or more",
                n_logprobs);
  }
  for (const auto& [token, bias] : logit_bias) {
    if (std::isnan(bias) || bias == -kMinusInfinity) {
      return Fail(ErrorCode::kInvalidArgument,
                  "logit_bias of token {} is {}, expected a number or -inf", token, bias);
    }
  }
  return CheckRange("top_p", top_p, 0, 1)
      .and_then([&] { return CheckRange("min_p", min_p, 0, 1); })
      .and_then([&] { return CheckRange("typical_p", typical_p, 0, 1); })
      .and_then([&] { return CheckFinite("presence_penalty", presence_penalty); })
      .and_then([&] { return CheckFinite("frequency_penalty", frequency_penalty); });
}

Sampler::Sampler(SamplingParams params) : params_(std::move(params)), random_(params_.seed) {}

bool Sampler::HasPenalties() const {
  return params_.repeat_last_n != 0 &&
         (params_.repeat_penalty != 1 || params_.presence_penalty != 0 ||
          params_.frequency_penalty != 0);
}

void Sampler::Accept(Token token) {
  if (!HasPenalties()) return;
  recent_.push_back(token);
  ++recent_counts_[token];
  if (params_.repeat_last_n > 0 && recent_.size() > static_cast<size_t>(params_.repeat_last_n)) {
    const auto oldest = recent_counts_.find(recent_.front());
    if (--oldest->second == 0) recent_counts_.erase(oldest);
    recent_.pop_front();
  }
}

SampledToken Sampler::Sample(std::span<const float> logits) {
  QUERN_DCHECK(!logits.empty());
  const std::span<const float> adjusted = Adjust(logits);
  SampledToken sampled;
  sampled.token = params_.temperature == 0 ? Greedy(adjusted) : Draw(adjusted);
  if (params_.n_logprobs >= 0) AddLogprobs(logits, sampled);
  Accept(sampled.token);
  return sampled;
}

/// The logits after bias and penalties: the model's own where there is neither.
std::span<const float> Sampler::Adjust(std::span<const float> logits) {
  const bool penalize = HasPenalties() && !recent_.empty();
  if (params_.logit_bias.empty() && !penalize) return logits;
  adjusted_.assign(logits.begin(), logits.end());
  for (const auto& [token, bias] : params_.logit_bias) {
    if (token >= 0 && static_cast<size_t>(token) < adjusted_.size()) adjusted_[token] += bias;
  }
  if (penalize) Penalize(adjusted_);
  return adjusted_;
}

/// The repetition penalty is CTRL's (Keskar et al. 2019, section 4.1), with negative logits
/// multiplied so that they too become less likely; presence and frequency penalties are OpenAI's.
void Sampler::Penalize(std::span<float> logits) const {
  for (const auto& [token, count] : recent_counts_) {
    if (token < 0 || static_cast<size_t>(token) >= logits.size()) continue;
    float& logit = logits[token];
    logit = logit > 0 ? logit / params_.repeat_penalty : logit * params_.repeat_penalty;
    logit -= static_cast<float>(count) * params_.frequency_penalty + params_.presence_penalty;
  }
}

/// The best of the tokens that truncation keeps, which is the best of all unless the typical ones
/// are wanted.
Token Sampler::Greedy(std::span<const float> logits) {
  if (params_.typical_p >= 1) return Best(logits);
  TakeBest(logits, TopK(logits));
  KeepTypical();
  return candidates_.front().token;
}

size_t Sampler::TopK(std::span<const float> logits) const {
  return params_.top_k <= 0 ? logits.size() : static_cast<size_t>(params_.top_k);
}

Token Sampler::Draw(std::span<const float> logits) {
  TakeBest(logits, TopK(logits));
  KeepTypical();
  KeepTopP();
  KeepMinP();
  Softmax(params_.temperature);
  const double target = Uniform(random_);
  double sum = 0;
  for (const Candidate& candidate : candidates_) {
    sum += candidate.p;
    if (target < sum) return candidate.token;
  }
  // The probabilities summed to a little under 1, or there are none: every logit is minus infinity.
  return std::max_element(candidates_.begin(), candidates_.end(),
                          [](const auto& a, const auto& b) { return Better(b, a); })
      ->token;
}

SampledToken Sampler::Score(std::span<const float> logits, Token token) {
  SampledToken scored;
  scored.token = token;
  AddLogprobs(logits, scored);
  return scored;
}

void Sampler::AddLogprobs(std::span<const float> logits, SampledToken& sampled) {
  const float max = Clean(logits[Best(logits)]);
  double sum = 0;
  for (const float logit : logits) sum += std::exp(Clean(logit) - max);
  // Without any finite logit `sum` is NaN, and so would be every log-probability.
  const double log_sum = max == kMinusInfinity ? 0 : static_cast<double>(max) + std::log(sum);
  const auto logprob = [log_sum](float logit) { return static_cast<float>(logit - log_sum); };

  sampled.logprob = logprob(Clean(logits[sampled.token]));
  TakeBest(logits, static_cast<size_t>(params_.n_logprobs));
  for (const Candidate& candidate : candidates_) {
    sampled.top.push_back({candidate.token, logprob(candidate.logit)});
  }
}

/// A strict total order, so that sorting gives the same on every machine.
bool Sampler::Better(const Candidate& a, const Candidate& b) {
  return a.logit != b.logit ? a.logit > b.logit : a.token < b.token;
}

bool Sampler::MoreTypical(const Candidate& a, const Candidate& b) {
  return a.distance != b.distance ? a.distance < b.distance : a.token < b.token;
}

/// Makes the best `k` tokens the candidates, best first; all of them, in token order, when there
/// are no more than `k`.
void Sampler::TakeBest(std::span<const float> logits, size_t k) {
  k = std::min(k, logits.size());
  const auto candidate = [logits](size_t i) {
    return Candidate{static_cast<Token>(i), Clean(logits[i]), 0, 0};
  };
  candidates_.clear();
  for (size_t i = 0; i < k; ++i) candidates_.push_back(candidate(i));
  sorted_ = k < logits.size();
  if (!sorted_ || k == 0) return;
  // A heap with the worst of the best so far in front: one comparison a token for most of the
  // vocabulary.
  std::make_heap(candidates_.begin(), candidates_.end(), Better);
  for (size_t i = k; i < logits.size(); ++i) {
    if (!(logits[i] > candidates_.front().logit)) continue;
    std::pop_heap(candidates_.begin(), candidates_.end(), Better);
    candidates_.back() = candidate(i);
    std::push_heap(candidates_.begin(), candidates_.end(), Better);
  }
  std::sort_heap(candidates_.begin(), candidates_.end(), Better);
}

float Sampler::BestLogit() const {
  if (sorted_) return candidates_.front().logit;
  float best = kMinusInfinity;
  for (const Candidate& candidate : candidates_) best = std::max(best, candidate.logit);
  return best;
}

/// Sets the probabilities at `temperature`; all are 0 when there is no finite logit.
void Sampler::Softmax(float temperature) {
  const float max = BestLogit();
  if (max == kMinusInfinity) return;
  double sum = 0;
  for (Candidate& candidate : candidates_) {
    candidate.p = std::exp((candidate.logit - max) / temperature);
    sum += candidate.p;
  }
  for (Candidate& candidate : candidates_) candidate.p /= sum;
}

/// Keeps the first candidates in `order` until they hold `share` of the probability; at least one.
template <typename Order>
void Sampler::SortUntil(double share, Order order) {
  double sum = 0;
  size_t n = 0;
  size_t n_sorted = 0;
  do {
    if (n ==
        n_sorted) {  // sort only as far as the share reaches: usually far less than the vocabulary
      n_sorted = std::min(4 * n_sorted + 64, candidates_.size());
      std::partial_sort(candidates_.begin() + static_cast<ptrdiff_t>(n),
                        candidates_.begin() + static_cast<ptrdiff_t>(n_sorted), candidates_.end(),
                        order);
    }
    sum += candidates_[n++].p;
  } while (sum < share && n < candidates_.size());
  candidates_.resize(n);
}

/// Locally typical sampling (Meister et al. 2022): keeps the tokens whose surprise is nearest to
/// the entropy, until they hold typical_p of the probability.
void Sampler::KeepTypical() {
  if (params_.typical_p >= 1) return;
  Softmax(1);
  double entropy = 0;
  for (const Candidate& candidate : candidates_) {
    if (candidate.p > 0) entropy -= candidate.p * std::log(candidate.p);
  }
  for (Candidate& candidate : candidates_) {
    candidate.distance = std::abs(-std::log(candidate.p) - entropy);
  }
  SortUntil(params_.typical_p, MoreTypical);
  std::sort(candidates_.begin(), candidates_.end(), Better);
  sorted_ = true;
}

/// Nucleus sampling (Holtzman et al. 2020): keeps the best tokens until they hold top_p of the
/// probability.
void Sampler::KeepTopP() {
  if (params_.top_p >= 1) return;
  Softmax(1);
  SortUntil(params_.top_p, Better);
  sorted_ = true;
}

/// Keeps the tokens at least min_p times as probable as the best.
void Sampler::KeepMinP() {
  if (params_.min_p <= 0) return;
  const float least = BestLogit() + std::log(params_.min_p);
  std::erase_if(candidates_, [least](const Candidate& c) { return c.logit < least; });
}

}  // namespace quern
