#include "tools/options/sampling_options.h"

#include <gtest/gtest.h>

#include <cmath>

namespace quern {
namespace {

TEST(LogitBias, IsATokenASignAndANumber) {
  EXPECT_EQ(*ParseLogitBias("15+1.5"), (std::pair<Token, float>(15, 1.5F)));
  EXPECT_EQ(*ParseLogitBias("0-1"), (std::pair<Token, float>(0, -1.0F)));
  EXPECT_EQ(*ParseLogitBias("7-inf"), (std::pair<Token, float>(7, -INFINITY)));
  for (const char* bad : {"", "15", "+1", "x+1", "15+", "15+x", "-1+2", "15 +1", "1+2+3"}) {
    const auto bias = ParseLogitBias(bad);
    ASSERT_FALSE(bias) << bad;
    EXPECT_EQ(bias.error().code, ErrorCode::kInvalidArgument);
  }
}

TEST(SamplingOptions, WhatIsGivenStandsOverTheRest) {
  CLI::App app;
  SamplingOptions options;
  options.AddTo(&app, "as it is");
  app.parse("--temp 0.5 --top-k 3 -l 7-inf --seed 9");
  SamplingParams recommended;
  recommended.temperature = 2;
  recommended.min_p = 0.25F;
  const Result<SamplingParams> params = options.Over(recommended);
  ASSERT_TRUE(params) << params.error().message;
  EXPECT_EQ(params->temperature, 0.5F);
  EXPECT_EQ(params->top_k, 3);
  EXPECT_EQ(params->min_p, 0.25F);
  ASSERT_EQ(params->logit_bias.size(), 1U);
  EXPECT_EQ(params->logit_bias[0].first, 7);
  EXPECT_EQ(options.seed(), 9U);
  EXPECT_EQ(SamplingOptions().seed(), std::nullopt);
  recommended.top_p = 2;
  EXPECT_EQ(options.Over(recommended).error().code, ErrorCode::kInvalidArgument);
}

}  // namespace
}  // namespace quern
