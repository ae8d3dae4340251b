#include "server/access/admission.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <string>

#include "tests/testing/read_file.h"
#include "tests/testing/temp_dir.h"

namespace quern {
namespace {

using std::chrono::seconds;
using ::testing::HasSubstr;

class AdmissionTest : public ::testing::Test {
 protected:
  static Cors OfPages() {
    return Cors::Create(
               {.origins = {"https://good.com"}, .bound_host = "127.0.0.1", .has_keys = true})
        .value();
  }
  static HttpRequest Ask(const std::string& method, const std::string& key) {
    HttpRequest request;
    request.method = method;
    request.path = "/v1/completions";
    request.remote = "1.2.3.4";
    request.headers = {{"Host", "localhost"}, {"X-Api-Key", key}};
    return request;
  }

  AccessControl access_{{ApiKey::Create("alice", "a", {.tokens_per_day = 5}).value()}};
  Admission admission_{OfPages(), seconds(300), RequestRate{2, std::chrono::hours(24)}};
};

TEST_F(AdmissionTest, TheHeadTellsOfPagesAndKeys) {
  EXPECT_FALSE(admission_.CheckHead(access_, Ask("POST", "a")).refusal);
  EXPECT_EQ(admission_.CheckHead(access_, Ask("POST", "b")).refusal->status, 401);
  HttpRequest page = Ask("POST", "a");
  page.headers.Add("Origin", "https://evil.com");
  EXPECT_EQ(admission_.CheckHead(access_, page).refusal->status, 403);
  HttpRequest preflight = Ask("OPTIONS", "");
  preflight.headers.Add("Origin", "https://good.com");
  preflight.headers.Add("Access-Control-Request-Method", "POST");
  const Admission::HeadDecision decision = admission_.CheckHead(access_, preflight);
  EXPECT_TRUE(decision.is_preflight);
  EXPECT_FALSE(decision.refusal);
  EXPECT_EQ(decision.headers.Get("Access-Control-Allow-Origin"), "https://good.com");
}

TEST_F(AdmissionTest, PostsCountOnTheirKey) {
  Admission::Decision first = admission_.Check(access_, Ask("POST", "a"));
  EXPECT_EQ(first.key, "alice");
  EXPECT_FALSE(first.refusal);
  ASSERT_NE(first.ticket, nullptr);
  EXPECT_EQ(first.headers.Get("x-ratelimit-remaining-requests"), "1");
  EXPECT_TRUE(
      admission_.Check(access_, Ask("GET", "a")).headers.Get("x-ratelimit-limit-requests").empty());
  EXPECT_FALSE(admission_.Check(access_, Ask("POST", "a")).refusal);
  const Admission::Decision third = admission_.Check(access_, Ask("POST", "a"));
  ASSERT_TRUE(third.refusal);
  EXPECT_EQ(third.refusal->status, 429);
  EXPECT_EQ(third.key, "alice");
  EXPECT_EQ(third.ticket, nullptr);
  EXPECT_EQ(third.headers.Get("x-ratelimit-remaining-requests"), "0");
}

TEST_F(AdmissionTest, StrangersHaveNoKey) {
  const Admission::Decision decision = admission_.Check(access_, Ask("POST", "b"));
  ASSERT_TRUE(decision.refusal);
  EXPECT_EQ(decision.refusal->status, 401);
  EXPECT_EQ(decision.key, "");
  // Without keys it is the address that counts.
  access_ = AccessControl();
  for (const bool refused : {false, false, true}) {
    EXPECT_EQ(admission_.Check(access_, Ask("POST", "")).refusal.has_value(), refused);
  }
}

TEST_F(AdmissionTest, UsageOutlastsIt) {
  const testing::TempDir dir;
  {
    ASSERT_TRUE(admission_.KeepUsage(dir.File("usage"), nullptr));
    Admission::Decision decision = admission_.Check(access_, Ask("POST", "a"));
    decision.ticket->Spend(7);
    decision.ticket.reset();
    Admission other(OfPages(), seconds(300), std::nullopt);
    other.RestoreUsage(
        {{std::chrono::floor<std::chrono::days>(std::chrono::system_clock::now()), "alice", 7}});
    const Admission::Decision next = other.Check(access_, Ask("POST", "a"));
    ASSERT_TRUE(next.refusal);
    EXPECT_THAT(next.refusal->message, HasSubstr("its 5 tokens of the day"));
  }
  EXPECT_FALSE(admission_.KeepUsage("/nowhere/usage", nullptr));
}

}  // namespace
}  // namespace quern
