#include "tools/quality/divergence.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "gguf/base/check.h"

namespace quern {
namespace {

template <typename T>
void LogSoftmaxOf(std::span<const T> logits, std::span<double> log_probs) {
  QUERN_DCHECK(logits.size() == log_probs.size());
  const double max = *std::max_element(logits.begin(), logits.end());
  double sum = 0;
  for (const T logit : logits) sum += std::exp(static_cast<double>(logit) - max);
  const double log_sum = max + std::log(sum);
  for (size_t i = 0; i < logits.size(); ++i) log_probs[i] = logits[i] - log_sum;
}

template <typename T>
size_t ArgMaxOf(std::span<const T> values) {
  return static_cast<size_t>(std::max_element(values.begin(), values.end()) - values.begin());
}

// Linear interpolation between the ranks of sorted values.
double Quantile(const std::vector<double>& sorted, double fraction) {
  const double rank = fraction * static_cast<double>(sorted.size() - 1);
  const auto below = static_cast<size_t>(rank);
  const size_t above = std::min(below + 1, sorted.size() - 1);
  const double share = rank - static_cast<double>(below);
  return (1 - share) * sorted[below] + share * sorted[above];
}

}  // namespace

Estimate RunningMean::estimate() const {
  if (count_ == 0) return {};
  const auto n = static_cast<double>(count_);
  const double mean = sum_ / n;
  const double variance = std::max(0.0, sum_of_squares_ / n - mean * mean);
  return {mean, count_ > 1 ? std::sqrt(variance / (n - 1)) : 0};
}

Estimate PerplexityOf(const RunningMean& negative_log_likelihood) {
  const Estimate nll = negative_log_likelihood.estimate();
  const double perplexity = std::exp(nll.mean);
  return {perplexity, perplexity * nll.error};
}

void LogSoftmax(std::span<const float> logits, std::span<double> log_probs) {
  LogSoftmaxOf(logits, log_probs);
}

void LogSoftmax(std::span<const double> logits, std::span<double> log_probs) {
  LogSoftmaxOf(logits, log_probs);
}

double KlDivergence(std::span<const double> reference_log_probs, std::span<const double> log_probs,
                    double floor) {
  QUERN_DCHECK(reference_log_probs.size() == log_probs.size());
  double sum = 0;
  for (size_t i = 0; i < log_probs.size(); ++i) {
    const double reference = reference_log_probs[i];
    if (reference > floor) sum += std::exp(reference) * (reference - log_probs[i]);
  }
  return sum;
}

Status Divergence::Add(std::span<const double> reference_log_probs, std::span<const float> logits,
                       std::optional<Token> next) {
  log_probs_.resize(logits.size());
  LogSoftmax(logits, log_probs_);
  for (const auto& [what, values] : {std::pair{"reference", reference_log_probs},
                                     std::pair{"model", std::span<const double>(log_probs_)}}) {
    if (std::any_of(values.begin(), values.end(), [](double x) { return std::isnan(x); })) {
      return Fail(ErrorCode::kInvalidArgument, "position {}: the {}'s logits are not all numbers",
                  kl_values_.size(), what);
    }
  }
  const double kl = KlDivergence(reference_log_probs, log_probs_, floor_);
  kl_.Add(kl);
  kl_values_.push_back(kl);
  if (ArgMaxOf(reference_log_probs) == ArgMaxOf(logits)) ++n_same_top_;
  if (next) {
    const auto token = static_cast<size_t>(*next);
    nll_.Add(-log_probs_[token]);
    reference_nll_.Add(-reference_log_probs[token]);
  }
  return {};
}

DivergenceSummary Divergence::Summarize() const {
  QUERN_DCHECK(!kl_values_.empty());
  std::vector<double> sorted = kl_values_;
  std::sort(sorted.begin(), sorted.end());
  DivergenceSummary summary;
  summary.n_positions = sorted.size();
  summary.kl = kl_.estimate();
  summary.median_kl = Quantile(sorted, 0.5);
  summary.p99_kl = Quantile(sorted, 0.99);
  summary.max_kl = sorted.back();
  summary.top1_agreement = static_cast<double>(n_same_top_) / static_cast<double>(sorted.size());
  summary.n_scored = nll_.count();
  if (summary.n_scored > 0) {
    summary.perplexity = PerplexityOf(nll_);
    summary.reference_perplexity = PerplexityOf(reference_nll_);
    summary.perplexity_ratio = summary.perplexity.mean / summary.reference_perplexity.mean;
  }
  return summary;
}

}  // namespace quern
