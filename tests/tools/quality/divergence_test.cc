#include "tools/quality/divergence.h"

#include <gtest/gtest.h>

#include <array>
#include <cmath>

namespace quern {
namespace {

TEST(LogSoftmax, GivesLogProbabilities) {
  std::array<double, 3> log_probs{};
  LogSoftmax(std::array<float, 3>{1000, 1000, 1000}, log_probs);
  for (const double value : log_probs) EXPECT_NEAR(value, -std::log(3.0), 1e-12);
  LogSoftmax(std::array<double, 3>{0, std::log(2.0), std::log(5.0)}, log_probs);
  EXPECT_NEAR(log_probs[0], std::log(1 / 8.0), 1e-15);
  EXPECT_NEAR(log_probs[2], std::log(5 / 8.0), 1e-15);
}

TEST(KlDivergence, FollowsItsDefinition) {
  const std::array<double, 2> p = {std::log(0.25), std::log(0.75)};
  const std::array<double, 2> q = {std::log(0.5), std::log(0.5)};
  EXPECT_NEAR(KlDivergence(p, q), 0.25 * std::log(0.5) + 0.75 * std::log(1.5), 1e-15);
  EXPECT_EQ(KlDivergence(p, p), 0);
  EXPECT_NEAR(KlDivergence(p, q, std::log(0.5)), 0.75 * std::log(1.5), 1e-15);
}

TEST(KlDivergence, SeesDifferencesFarBelowFloat) {
  std::vector<float> logits(1000);
  for (size_t i = 0; i < logits.size(); ++i) logits[i] = static_cast<float>(i % 17);
  std::vector<double> p(logits.size());
  LogSoftmax(logits, p);
  logits[16] += 1e-4F;
  std::vector<double> q(logits.size());
  LogSoftmax(logits, q);
  // To second order KL = p (1 - p) d^2 / 2, with the step that a float at 16 really takes.
  const double d = logits[16] - 16.0;
  const double expected = std::exp(p[16]) * (1 - std::exp(p[16])) * d * d / 2;
  EXPECT_NEAR(KlDivergence(p, q), expected, 1e-3 * expected);
}

TEST(RunningMean, EstimatesTheMeanAndItsError) {
  RunningMean mean;
  for (const double value : {1.0, 2.0, 3.0, 4.0}) mean.Add(value);
  EXPECT_DOUBLE_EQ(mean.estimate().mean, 2.5);
  EXPECT_DOUBLE_EQ(mean.estimate().error, std::sqrt(1.25 / 3));
  EXPECT_DOUBLE_EQ(PerplexityOf(mean).mean, std::exp(2.5));
}

TEST(Divergence, SummarizesPositions) {
  Divergence divergence;
  const std::array<double, 2> reference = {std::log(0.25), std::log(0.75)};
  const std::array<float, 2> same = {0, std::log(3.0F)};
  const std::array<float, 2> flipped = {std::log(3.0F), 0};
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(divergence.Add(reference, same, Token{1}));
  EXPECT_TRUE(divergence.Add(reference, flipped, std::nullopt));
  const DivergenceSummary summary = divergence.Summarize();
  const double kl = 0.5 * std::log(3.0);
  EXPECT_EQ(summary.n_positions, 4U);
  EXPECT_NEAR(summary.kl.mean, kl / 4, 1e-7);
  EXPECT_NEAR(summary.max_kl, kl, 1e-7);
  EXPECT_NEAR(summary.median_kl, 0, 1e-12);
  EXPECT_NEAR(summary.p99_kl, 0.97 * kl, 1e-7);  // rank 2.97 of 0 to 3
  EXPECT_EQ(summary.top1_agreement, 0.75);
  EXPECT_EQ(summary.n_scored, 3U);
  EXPECT_NEAR(summary.perplexity.mean, 4.0 / 3, 1e-7);
  EXPECT_NEAR(summary.reference_perplexity.mean, 4.0 / 3, 1e-12);
  EXPECT_NEAR(summary.perplexity_ratio, 1, 1e-7);
}

/// What is not a number agrees with nothing, not even with another.
TEST(Divergence, RefusesNaN) {
  Divergence divergence;
  std::array<double, 2> reference = {std::log(0.5), std::log(0.5)};
  std::array<float, 2> logits = {0, NAN};
  EXPECT_FALSE(divergence.Add(reference, logits, std::nullopt));
  logits = {0, INFINITY};
  EXPECT_FALSE(divergence.Add(reference, logits, std::nullopt));
  logits = {0, -INFINITY};
  EXPECT_TRUE(divergence.Add(reference, logits, std::nullopt));
  EXPECT_EQ(divergence.Summarize().max_kl, INFINITY);
  reference = {NAN, NAN};
  const Status status = divergence.Add(reference, logits, std::nullopt);
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().message, "position 1: the reference's logits are not all numbers");
}

}  // namespace
}  // namespace quern
