#include "server/access/quotas.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace quern {
namespace {

using std::chrono::duration;
using std::chrono::seconds;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

/// So many seconds into a day of UTC.
Quotas::Time At(double second) {
  return {
      std::chrono::steady_clock::time_point() +
          std::chrono::duration_cast<std::chrono::steady_clock::duration>(duration<double>(second)),
      std::chrono::sys_days(std::chrono::days(20000)) + seconds(static_cast<int64_t>(second))};
}

std::map<std::string, std::string> Headers(const Quotas::Decision& decision) {
  return {decision.headers.begin(), decision.headers.end()};
}

constexpr RequestRate kSixAMinute = {6, seconds(60)};

TEST(Quotas, WithoutLimitsNothingIsRefusedOrTold) {
  Quotas quotas(std::nullopt);
  for (int i = 0; i < 1000; ++i) {
    const Quotas::Decision decision = quotas.Charge("a", {}, At(0));
    EXPECT_FALSE(decision.refusal);
    EXPECT_NE(decision.ticket, nullptr);
    EXPECT_THAT(decision.headers, IsEmpty());
  }
}

TEST(Quotas, ARateRefillsSteadily) {
  Quotas quotas(kSixAMinute);
  for (int left = 5; left >= 0; --left) {
    Quotas::Decision decision = quotas.Charge("a", {}, At(0));
    ASSERT_FALSE(decision.refusal);
    EXPECT_EQ(Headers(decision)["x-ratelimit-limit-requests"], "6");
    EXPECT_EQ(Headers(decision)["x-ratelimit-remaining-requests"], std::to_string(left));
  }
  Quotas::Decision refused = quotas.Charge("a", {}, At(0.5));
  ASSERT_TRUE(refused.refusal);
  EXPECT_EQ(refused.ticket, nullptr);
  EXPECT_EQ(refused.refusal->status, 429);
  EXPECT_EQ(refused.refusal->message, "more requests than 6/min");
  EXPECT_EQ(refused.refusal->retry_after, 10);
  EXPECT_EQ(Headers(refused)["x-ratelimit-reset-requests"], "59.5s");
  EXPECT_FALSE(quotas.Charge("b", {}, At(0.5)).refusal);  // another caller

  EXPECT_TRUE(quotas.Charge("a", {}, At(9.9)).refusal);
  EXPECT_FALSE(quotas.Charge("a", {}, At(10.1)).refusal);
  EXPECT_TRUE(quotas.Charge("a", {}, At(10.2)).refusal);
  for (int i = 0; i < 6; ++i) EXPECT_FALSE(quotas.Charge("a", {}, At(500)).refusal) << i;
  EXPECT_TRUE(quotas.Charge("a", {}, At(500)).refusal);
}

TEST(Quotas, ACallersOwnRateStandsForTheServers) {
  Quotas quotas(kSixAMinute);
  const KeyLimits limits{.rate = RequestRate{1, seconds(3600)}};
  Quotas::Decision first = quotas.Charge("a", limits, At(0));
  EXPECT_FALSE(first.refusal);
  EXPECT_EQ(Headers(first)["x-ratelimit-reset-requests"], "60m0s");
  EXPECT_EQ(quotas.Charge("a", limits, At(60)).refusal->retry_after, 3540);
  // A new rate, after a reload, begins anew.
  EXPECT_FALSE(quotas.Charge("a", {.rate = RequestRate{2, seconds(60)}}, At(60)).refusal);
}

TEST(Quotas, RequestsAtOnceEndWithTheirTickets) {
  Quotas quotas(std::nullopt);
  const KeyLimits limits{.concurrent = 2};
  Quotas::Decision first = quotas.Charge("a", limits, At(0));
  Quotas::Decision second = quotas.Charge("a", limits, At(0));
  const Quotas::Decision third = quotas.Charge("a", limits, At(0));
  ASSERT_TRUE(third.refusal);
  EXPECT_THAT(third.refusal->message, HasSubstr("under way: 2, as many"));
  EXPECT_FALSE(quotas.Charge("b", limits, At(0)).refusal);
  first.ticket.reset();
  EXPECT_FALSE(quotas.Charge("a", limits, At(0)).refusal);
}

TEST(Quotas, TokensAreCountedByTheDay) {
  Quotas quotas(std::nullopt);
  const KeyLimits limits{.tokens_per_day = 100};
  Quotas::Decision first = quotas.Charge("a", limits, At(1));
  EXPECT_EQ(Headers(first)["x-ratelimit-remaining-tokens"], "100");
  first.ticket->Spend(99, At(2));
  Quotas::Decision second = quotas.Charge("a", limits, At(3));
  ASSERT_FALSE(second.refusal);
  EXPECT_EQ(Headers(second)["x-ratelimit-remaining-tokens"], "1");
  second.ticket->Spend(50, At(4));
  Quotas::Decision third = quotas.Charge("a", limits, At(86400 - 90));
  ASSERT_TRUE(third.refusal);
  EXPECT_THAT(third.refusal->message, HasSubstr("its 100 tokens of the day"));
  EXPECT_EQ(third.refusal->retry_after, 90);
  EXPECT_EQ(Headers(third)["x-ratelimit-remaining-tokens"], "0");
  EXPECT_EQ(Headers(third)["x-ratelimit-reset-tokens"], "1m30s");
  EXPECT_FALSE(quotas.Charge("a", limits, At(86400)).refusal);
}

TEST(Quotas, AnotherProcessGoesOnWithTheDay) {
  const KeyLimits limits{.tokens_per_day = 100};
  Quotas first(kSixAMinute);
  first.Charge("b", limits, At(1)).ticket->Spend(70, At(2));
  first.Charge("a", limits, At(1)).ticket->Spend(100, At(2));
  first.Charge("none", limits, At(1));
  const std::vector<DayTokens> counted = first.TokensOfDay(At(3));
  ASSERT_EQ(counted.size(), 2U);
  EXPECT_EQ(counted[0].caller, "a");
  EXPECT_EQ(counted[1].caller, "b");
  EXPECT_EQ(counted[1].tokens, 70U);
  EXPECT_THAT(first.TokensOfDay(At(86400)), IsEmpty());

  Quotas second(kSixAMinute);
  second.Restore(counted, At(10));
  EXPECT_TRUE(second.Charge("a", limits, At(11)).refusal);
  Quotas::Decision b = second.Charge("b", limits, At(11));
  EXPECT_EQ(Headers(b)["x-ratelimit-remaining-tokens"], "30");
  EXPECT_EQ(Headers(b)["x-ratelimit-remaining-requests"], "5");
  Quotas next_day(std::nullopt);
  next_day.Restore(counted, At(86400));
  EXPECT_EQ(Headers(next_day.Charge("a", limits, At(86401)))["x-ratelimit-remaining-tokens"],
            "100");
}

TEST(Quotas, WhatOneLimitRefusesIsNotCountedByAnother) {
  Quotas quotas(std::nullopt);
  const KeyLimits limits{.rate = kSixAMinute, .concurrent = 1};
  Quotas::Decision running = quotas.Charge("a", limits, At(0));
  for (int i = 0; i < 10; ++i) EXPECT_TRUE(quotas.Charge("a", limits, At(0)).refusal);
  running.ticket.reset();
  for (int i = 0; i < 5; ++i) EXPECT_FALSE(quotas.Charge("a", limits, At(0)).refusal) << i;
  EXPECT_TRUE(quotas.Charge("a", limits, At(0)).refusal);
}

TEST(Quotas, ManyAddressesDoNotHideOneThatIsLimited) {
  Quotas quotas(kSixAMinute);
  for (int i = 0; i < 6; ++i) quotas.Charge("a", {}, At(0));
  const std::unique_ptr<Quotas::Ticket> running = quotas.Charge("b", {}, At(0)).ticket;
  for (int i = 0; i < 5000; ++i) quotas.Charge(fmt::format("c{}", i), {}, At(1));
  EXPECT_TRUE(quotas.Charge("a", {}, At(2)).refusal);
  for (int i = 0; i < 5000; ++i) quotas.Charge(fmt::format("d{}", i), {}, At(1000));
  running->Spend(1, At(1001));  // its caller is still known
}

}  // namespace
}  // namespace quern
