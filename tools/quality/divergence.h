// How far logits are from reference logits over a text: KL divergence, agreement on the top token,
// perplexities.
#pragma once

#include <cstddef>
#include <limits>
#include <optional>
#include <span>
#include <vector>

#include "gguf/base/result.h"
#include "runtime/text/token.h"

namespace quern {

/// A mean with the standard error that independent samples would give it.
struct Estimate {
  double mean = 0;
  double error = 0;
};

/// Sums of samples, for Estimate. In double: differences of squares of millions of samples keep 9
/// digits.
class RunningMean {
 public:
  void Add(double value) {
    sum_ += value;
    sum_of_squares_ += value * value;
    ++count_;
  }
  size_t count() const { return count_; }
  Estimate estimate() const;

 private:
  double sum_ = 0;
  double sum_of_squares_ = 0;
  size_t count_ = 0;
};

/// Perplexity exp(mean of -ln p), with the error carried over to first order.
Estimate PerplexityOf(const RunningMean& negative_log_likelihood);

/// log_probs[i] = logits[i] - ln(sum of e^logits), in double.
void LogSoftmax(std::span<const float> logits, std::span<double> log_probs);
void LogSoftmax(std::span<const double> logits, std::span<double> log_probs);

/// KL(reference || candidate) in nats: sum of p_ref (ln p_ref - ln p), over the tokens whose
/// reference log-probability is above `floor`.
double KlDivergence(std::span<const double> reference_log_probs, std::span<const double> log_probs,
                    double floor = -std::numeric_limits<double>::infinity());

struct DivergenceSummary {
  size_t n_positions = 0;
  Estimate kl;
  double median_kl = 0;
  double p99_kl = 0;
  double max_kl = 0;
  double top1_agreement = 0;  ///< share of positions whose most probable token is the same
  /// Of the positions whose next token is known; zero without any.
  size_t n_scored = 0;
  Estimate perplexity;
  Estimate reference_perplexity;
  double perplexity_ratio = 0;  ///< perplexity / reference perplexity
};

/// Collects positions.
class Divergence {
 public:
  /// `floor` as in KlDivergence.
  explicit Divergence(double floor = -std::numeric_limits<double>::infinity()) : floor_(floor) {}

  /// `next`: the token that follows in the text, where it is to be scored. Errors:
  /// kInvalidArgument when either side is no distribution (NaN), which agrees with nothing.
  Status Add(std::span<const double> reference_log_probs, std::span<const float> logits,
             std::optional<Token> next);

  /// Call it after at least one position.
  DivergenceSummary Summarize() const;

 private:
  double floor_;
  std::vector<double> kl_values_;
  std::vector<double> log_probs_;
  RunningMean kl_;
  RunningMean nll_;
  RunningMean reference_nll_;
  size_t n_same_top_ = 0;
};

}  // namespace quern
