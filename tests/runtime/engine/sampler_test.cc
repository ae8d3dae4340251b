#include "runtime/engine/sampler.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <map>
#include <random>
#include <string>
#include <vector>

namespace quern {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr float kInf = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

/// Parameters that leave the model's distribution as it is.
SamplingParams Plain(uint64_t seed = 1) {
  SamplingParams params;
  params.temperature = 1;
  params.top_k = 0;
  params.top_p = 1;
  params.min_p = 0;
  params.seed = seed;
  return params;
}

std::vector<float> LogitsOf(const std::vector<double>& probabilities) {
  std::vector<float> logits;
  for (const double p : probabilities) logits.push_back(static_cast<float>(std::log(p)));
  return logits;
}

/// Every token that comes up in many draws.
std::map<Token, int> Drawn(const SamplingParams& params, const std::vector<float>& logits,
                           int n_draws = 2000) {
  Sampler sampler(params);
  std::map<Token, int> counts;
  for (int i = 0; i < n_draws; ++i) ++counts[sampler.Sample(logits).token];
  return counts;
}

std::vector<Token> Tokens(const std::map<Token, int>& counts) {
  std::vector<Token> tokens;
  for (const auto& [token, count] : counts) tokens.push_back(token);
  return tokens;
}

TEST(Sampler, GreedyTakesTheBestAndTheFirstOfEquals) {
  SamplingParams params;
  params.temperature = 0;
  EXPECT_EQ(Sampler(params).Sample(std::vector<float>{1, 3, 2}).token, 1);
  EXPECT_EQ(Sampler(params).Sample(std::vector<float>{-5, -1, -1}).token, 1);
  EXPECT_EQ(Sampler(params).Sample(std::vector<float>{7}).token, 0);
}

// Inverse transform sampling by hand: the token is the first whose cumulative probability exceeds
// the uniform draw, which is the upper 53 bits of std::mt19937_64, a generator whose numbers the
// C++ standard fixes.
TEST(Sampler, DrawIsTheInverseTransformOfTheStandardGenerator) {
  const std::vector<double> p = {0.125, 0.5, 0.25, 0.125};
  const std::vector<float> logits = LogitsOf(p);
  Sampler sampler(Plain(42));
  std::mt19937_64 random(42);
  for (int i = 0; i < 200; ++i) {
    const double u = std::ldexp(static_cast<double>(random() >> 11), -53);
    const Token expected = u < 0.125 ? 0 : u < 0.625 ? 1 : u < 0.875 ? 2 : 3;
    EXPECT_EQ(sampler.Sample(logits).token, expected) << "draw " << i << " of " << u;
  }
}

TEST(Sampler, SameSeedSameChoicesOtherSeedOthers) {
  const std::vector<float> logits(100, 0.0F);
  const auto draw = [&](uint64_t seed) {
    Sampler sampler(Plain(seed));
    std::vector<Token> tokens;
    for (int i = 0; i < 20; ++i) tokens.push_back(sampler.Sample(logits).token);
    return tokens;
  };
  EXPECT_EQ(draw(5), draw(5));
  EXPECT_NE(draw(5), draw(6));
}

TEST(Sampler, DrawsHaveTheGivenProbabilities) {
  const std::map<Token, int> counts = Drawn(Plain(), LogitsOf({0.1, 0.2, 0.7}), 10000);
  // Four standard deviations of a binomial count, at most 4 * sqrt(10000 * 0.25) = 200; the seed is
  // fixed.
  EXPECT_NEAR(counts.at(0), 1000, 200);
  EXPECT_NEAR(counts.at(1), 2000, 200);
  EXPECT_NEAR(counts.at(2), 7000, 200);
}

TEST(Sampler, TemperatureSharpensAndFlattens) {
  const std::vector<float> logits = LogitsOf({0.2, 0.8});
  SamplingParams params = Plain();
  params.temperature = 0.5;  // p^2 normalized: 1/17 and 16/17
  EXPECT_NEAR(Drawn(params, logits, 10000).at(0), 10000 / 17.0, 200);
  params.temperature = 2;  // sqrt(p) normalized: 1/3 and 2/3
  EXPECT_NEAR(Drawn(params, logits, 10000).at(0), 10000 / 3.0, 200);
  params.temperature = std::numeric_limits<float>::denorm_min();
  EXPECT_THAT(Tokens(Drawn(params, logits)), ElementsAre(1));
}

TEST(Sampler, TopKKeepsTheBest) {
  const std::vector<float> logits = LogitsOf({0.1, 0.3, 0.05, 0.35, 0.2});
  SamplingParams params = Plain();
  params.top_k = 3;
  EXPECT_THAT(Tokens(Drawn(params, logits)), ElementsAre(1, 3, 4));
  params.top_k = 1;
  EXPECT_THAT(Tokens(Drawn(params, logits)), ElementsAre(3));
  for (const int all : {0, -1, 5, 1000}) {
    params.top_k = all;
    EXPECT_EQ(Drawn(params, logits).size(), 5U) << all;
  }
}

TEST(Sampler, TopKOfEqualLogitsKeepsTheFirst) {
  SamplingParams params = Plain();
  params.top_k = 2;
  EXPECT_THAT(Tokens(Drawn(params, {1, 1, 1, 1, 1})), ElementsAre(0, 1));
}

TEST(Sampler, TopPKeepsTheNucleus) {
  const std::vector<float> logits = LogitsOf({0.125, 0.5, 0.25, 0.125});
  SamplingParams params = Plain();
  params.top_p = 0.7F;
  EXPECT_THAT(Tokens(Drawn(params, logits)), ElementsAre(1, 2));
  params.top_p = 0.8F;  // 0.75 is short of it; the first of the equals joins
  EXPECT_THAT(Tokens(Drawn(params, logits)), ElementsAre(0, 1, 2));
  params.top_p = 0;
  EXPECT_THAT(Tokens(Drawn(params, logits)), ElementsAre(1));
  params.top_p = 1;
  EXPECT_EQ(Drawn(params, logits).size(), 4U);
}

TEST(Sampler, TopPReachesBeyondTheFirstSortedPart) {
  SamplingParams params = Plain();
  params.top_p = 0.5F;
  // 1,000 equal tokens: the first 500 hold half.
  const std::vector<Token> tokens = Tokens(Drawn(params, std::vector<float>(1000, 0.0F), 20000));
  EXPECT_EQ(tokens.size(), 500U);
  EXPECT_EQ(tokens.back(), 499);
}

TEST(Sampler, TopPCountsWhatTopKLeft) {
  SamplingParams params = Plain();
  params.top_k = 2;  // leaves 0.4 and 0.3, that is 4/7 and 3/7
  params.top_p = 0.5F;
  EXPECT_THAT(Tokens(Drawn(params, LogitsOf({0.4, 0.3, 0.3}))), ElementsAre(0));
}

TEST(Sampler, MinPComparesWithTheBest) {
  const std::vector<float> logits = LogitsOf({0.04, 0.5, 0.4, 0.06});
  SamplingParams params = Plain();
  params.min_p = 0.1F;
  EXPECT_THAT(Tokens(Drawn(params, logits)), ElementsAre(1, 2, 3));
  params.min_p = 1;
  EXPECT_THAT(Tokens(Drawn(params, logits)), ElementsAre(1));
  params.min_p = 0;
  EXPECT_EQ(Drawn(params, logits).size(), 4U);
}

TEST(Sampler, TypicalKeepsTokensNearTheEntropy) {
  // Entropy 1.19 nats; surprises 0.69 (distance 0.50), 1.61 (0.42), 1.61, 2.30 (1.11).
  const std::vector<float> logits = LogitsOf({0.5, 0.2, 0.2, 0.1});
  SamplingParams params = Plain();
  params.typical_p = 0.35F;
  EXPECT_THAT(Tokens(Drawn(params, logits)), ElementsAre(1, 2));
  params.typical_p = 0.85F;
  EXPECT_THAT(Tokens(Drawn(params, logits)), ElementsAre(0, 1, 2));
  params.typical_p = 0;
  EXPECT_THAT(Tokens(Drawn(params, logits)), ElementsAre(1));
  params.typical_p = 1;
  EXPECT_EQ(Drawn(params, logits).size(), 4U);
  params.temperature = 0;
  EXPECT_EQ(Sampler(params).Sample(logits).token, 0);
  params.typical_p = 0.35F;  // the best token is not among the typical ones
  EXPECT_EQ(Sampler(params).Sample(logits).token, 1);
}

TEST(Sampler, RepeatPenaltyDividesPositiveAndMultipliesNegativeLogits) {
  SamplingParams params;
  params.temperature = 0;
  params.repeat_penalty = 2;
  Sampler positive(params);
  positive.Accept(0);
  EXPECT_EQ(positive.Sample(std::vector<float>{4, 2.5F}).token, 1);  // 4 / 2 < 2.5
  Sampler negative(params);
  negative.Accept(0);
  EXPECT_EQ(negative.Sample(std::vector<float>{-1, -1.5F}).token, 1);  // -1 * 2 < -1.5
  Sampler not_enough(params);
  not_enough.Accept(0);
  EXPECT_EQ(not_enough.Sample(std::vector<float>{4, 1.5F}).token, 0);
}

TEST(Sampler, RepeatPenaltyDoesNotGrowWithTheCountAndFrequencyPenaltyDoes) {
  const std::vector<float> logits = {10, 6};
  const auto choice = [&](const SamplingParams& params) {
    Sampler sampler(params);
    for (int i = 0; i < 3; ++i) sampler.Accept(0);
    return sampler.Sample(logits).token;
  };
  SamplingParams params;
  params.temperature = 0;
  params.repeat_penalty = 1.5F;
  EXPECT_EQ(choice(params), 0);  // 10 / 1.5 > 6
  params.repeat_penalty = 1;
  params.presence_penalty = 3;
  EXPECT_EQ(choice(params), 0);  // 10 - 3 > 6
  params.presence_penalty = 0;
  params.frequency_penalty = 1.5F;
  EXPECT_EQ(choice(params), 1);  // 10 - 3 * 1.5 < 6
}

TEST(Sampler, PenaltiesForgetWhatIsFartherBackThanRepeatLastN) {
  SamplingParams params;
  params.temperature = 0;
  params.presence_penalty = 5;
  const std::vector<float> logits = {4, 2, 0};
  const auto choice = [&](int last_n) {
    params.repeat_last_n = last_n;
    Sampler sampler(params);
    for (const Token token : {0, 1, 1}) sampler.Accept(token);
    return sampler.Sample(logits).token;
  };
  EXPECT_EQ(choice(3), 2);
  EXPECT_EQ(choice(2), 0);
  EXPECT_EQ(choice(0), 0);
  EXPECT_EQ(choice(-1), 2);
}

TEST(Sampler, ChosenTokensCountForPenalties) {
  SamplingParams params;
  params.temperature = 0;
  params.presence_penalty = 5;
  Sampler sampler(params);
  const std::vector<float> logits = {3, 2, 1};
  EXPECT_EQ(sampler.Sample(logits).token, 0);
  EXPECT_EQ(sampler.Sample(logits).token, 1);
  EXPECT_EQ(sampler.Sample(logits).token, 2);
}

TEST(Sampler, LogitBiasForcesAndForbids) {
  SamplingParams params;
  params.temperature = 0;
  params.logit_bias = {{2, 100.0F}, {-1, 1000.0F}, {99, 1000.0F}};  // ids outside are ignored
  EXPECT_EQ(Sampler(params).Sample(std::vector<float>{3, 2, 1}).token, 2);
  params = Plain();
  params.logit_bias = {{0, -kInf}};
  EXPECT_THAT(Tokens(Drawn(params, {9, 1, 1})), ElementsAre(1, 2));
}

TEST(Sampler, LogprobsAreTheModelsOwn) {
  SamplingParams params = Plain();
  params.temperature = 0.1F;
  params.top_k = 1;
  params.logit_bias = {{0, 100.0F}};
  params.n_logprobs = 2;
  const SampledToken sampled = Sampler(params).Sample(LogitsOf({0.1, 0.2, 0.7}));
  EXPECT_EQ(sampled.token, 0);
  EXPECT_NEAR(sampled.logprob, std::log(0.1), 1e-6);
  ASSERT_EQ(sampled.top.size(), 2U);
  EXPECT_EQ(sampled.top[0].token, 2);
  EXPECT_NEAR(sampled.top[0].logprob, std::log(0.7), 1e-6);
  EXPECT_EQ(sampled.top[1].token, 1);
  EXPECT_NEAR(sampled.top[1].logprob, std::log(0.2), 1e-6);
}

TEST(Sampler, LogprobsOnlyOnRequestAndNeverMoreThanTokens) {
  const std::vector<float> logits = LogitsOf({0.25, 0.75});
  SamplingParams params = Plain();
  EXPECT_THAT(Sampler(params).Sample(logits).top, IsEmpty());
  params.n_logprobs = 0;
  const SampledToken sampled = Sampler(params).Sample(logits);
  EXPECT_THAT(sampled.top, IsEmpty());
  EXPECT_NEAR(sampled.logprob, std::log(sampled.token == 0 ? 0.25 : 0.75), 1e-6);
  params.n_logprobs = 20;
  EXPECT_EQ(Sampler(params).Sample(logits).top.size(), 2U);
}

TEST(Sampler, LogprobsDoNotChangeTheChoice) {
  SamplingParams params = Plain(3);
  params.top_p = 0.9F;
  const std::vector<float> logits = LogitsOf({0.1, 0.2, 0.3, 0.4});
  Sampler without(params);
  params.n_logprobs = 2;
  Sampler with(params);
  for (int i = 0; i < 100; ++i) {
    EXPECT_EQ(with.Sample(logits).token, without.Sample(logits).token);
  }
}

TEST(Sampler, LogitsThatAreNotNumbers) {
  SamplingParams all = Plain();
  all.min_p = 0.05F;
  SamplingParams top_p = Plain();
  top_p.top_p = 0.9F;
  SamplingParams typical = Plain();
  typical.typical_p = 0.9F;
  SamplingParams greedy = Plain();
  greedy.temperature = 0;
  SamplingParams defaults;
  for (SamplingParams params : {all, top_p, typical, greedy, defaults}) {
    params.n_logprobs = 3;
    EXPECT_THAT(Tokens(Drawn(params, {kNan, 1, -kInf}, 50)), ElementsAre(1));
    EXPECT_THAT(Tokens(Drawn(params, {1, kInf, 2, kNan}, 50)), ElementsAre(1));
    for (const float nothing : {kNan, -kInf}) {
      const SampledToken sampled = Sampler(params).Sample(std::vector<float>(100, nothing));
      EXPECT_EQ(sampled.token, 0);
      EXPECT_EQ(sampled.logprob, -kInf);
    }
  }
}

TEST(Sampler, LargeVocabularyAgreesWithAFullSort) {
  std::mt19937_64 random(9);
  std::vector<float> logits(128256);
  for (float& logit : logits) logit = static_cast<float>(random() >> 40) * 1e-6F;
  SamplingParams params;
  params.n_logprobs = 50;
  const SampledToken sampled = Sampler(params).Sample(logits);
  std::vector<float> sorted = logits;
  std::sort(sorted.begin(), sorted.end(), std::greater<>());
  ASSERT_EQ(sampled.top.size(), 50U);
  for (size_t i = 0; i < 50; ++i) EXPECT_EQ(logits[sampled.top[i].token], sorted[i]);
  EXPECT_GE(logits[sampled.token], sorted[39]);
}

TEST(SamplingParams, DefaultsAreValid) { EXPECT_TRUE(SamplingParams().Validate().has_value()); }

TEST(SamplingParams, EdgesOfRangesAreValid) {
  SamplingParams params;
  params.temperature = 0;
  params.top_k = -1;
  params.top_p = 0;
  params.min_p = 1;
  params.typical_p = 0;
  params.repeat_last_n = -1;
  params.logit_bias = {{5, -kInf}};
  EXPECT_TRUE(params.Validate().has_value());
}

TEST(SamplingParams, MessagesNameParameterValueAndRange) {
  const auto message = [](auto change) {
    SamplingParams params;
    change(params);
    const Status status = params.Validate();
    return status ? std::string() : status.error().message;
  };
  EXPECT_EQ(message([](auto& p) { p.temperature = -1; }), "temperature is -1, expected 0 or more");
  EXPECT_THAT(message([](auto& p) { p.temperature = kNan; }), HasSubstr("temperature is nan"));
  EXPECT_THAT(message([](auto& p) { p.temperature = kInf; }), HasSubstr("temperature is inf"));
  EXPECT_EQ(message([](auto& p) { p.top_p = 1.5F; }), "top_p is 1.5, expected 0 to 1");
  EXPECT_EQ(message([](auto& p) { p.top_p = kNan; }), "top_p is nan, expected 0 to 1");
  EXPECT_EQ(message([](auto& p) { p.min_p = -0.5F; }), "min_p is -0.5, expected 0 to 1");
  EXPECT_EQ(message([](auto& p) { p.typical_p = 2; }), "typical_p is 2, expected 0 to 1");
  EXPECT_EQ(message([](auto& p) { p.repeat_penalty = 0; }),
            "repeat_penalty is 0, expected more than 0");
  EXPECT_EQ(message([](auto& p) { p.repeat_last_n = -2; }),
            "repeat_last_n is -2, expected -1 (all) or more");
  EXPECT_THAT(message([](auto& p) { p.presence_penalty = kNan; }),
              HasSubstr("presence_penalty is nan"));
  EXPECT_THAT(message([](auto& p) { p.frequency_penalty = kInf; }),
              HasSubstr("frequency_penalty is inf"));
  EXPECT_THAT(message([](auto& p) { p.n_logprobs = -2; }), HasSubstr("n_logprobs is -2"));
  EXPECT_THAT(message([](auto& p) {
                p.logit_bias = {{7, kNan}};
              }),
              HasSubstr("logit_bias of token 7 is nan"));
}

}  // namespace
}  // namespace quern
