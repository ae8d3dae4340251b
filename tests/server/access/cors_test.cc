#include "server/access/cors.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

namespace quern {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Pair;

constexpr const char* kHost = "127.0.0.1:8080";

Cors Make(std::vector<std::string> origins, std::string bound_host = "127.0.0.1",
          bool has_keys = false) {
  return Cors::Create({std::move(origins), std::move(bound_host), has_keys}).value();
}

int StatusOf(const Cors& cors, const char* method, const char* origin, const char* host = kHost) {
  const Cors::Decision decision = cors.Decide(method, origin, host);
  return decision.refusal ? decision.refusal->status : 200;
}

TEST(Cors, ProgramsAreNoPages) {
  const Cors cors = Make({});
  const Cors::Decision decision = cors.Decide("POST", "", kHost);
  EXPECT_FALSE(decision.refusal);
  EXPECT_FALSE(decision.is_preflight);
  EXPECT_THAT(decision.headers, IsEmpty());
}

TEST(Cors, ForeignPagesMayChangeNothing) {
  const Cors cors = Make({});
  for (const char* origin : {"https://evil.com", "null", "http://localhost.evil.com", "app://x",
                             "http://127.0.0.1.evil.com", "http://evil.com:8080", "localhost"}) {
    EXPECT_EQ(StatusOf(cors, "POST", origin), 403) << origin;
    EXPECT_EQ(StatusOf(cors, "DELETE", origin), 403) << origin;
    // What they read stays in the browser.
    EXPECT_EQ(StatusOf(cors, "GET", origin), 200) << origin;
    EXPECT_THAT(cors.Decide("GET", origin, kHost).headers, IsEmpty()) << origin;
  }
  EXPECT_THAT(cors.Decide("POST", "https://evil.com", kHost).refusal->message,
              HasSubstr("'https://evil.com' may not use this server"));
}

TEST(Cors, PagesOfThisMachineAndOfTheServerMay) {
  const Cors cors = Make({});
  for (const char* origin : {"http://localhost:3000", "http://127.0.0.1:8080", "https://[::1]:5173",
                             "http://app.localhost", "HTTP://LOCALHOST"}) {
    EXPECT_EQ(StatusOf(cors, "POST", origin), 200) << origin;
    EXPECT_THAT(cors.Decide("POST", origin, kHost).headers, IsEmpty()) << origin;
  }
  const Cors exposed = Make({}, "0.0.0.0", true);
  EXPECT_EQ(StatusOf(exposed, "POST", "https://box:8080", "box:8080"), 200);
  EXPECT_EQ(StatusOf(exposed, "POST", "https://box:3000", "box:8080"), 403);
}

TEST(Cors, AllowedPagesMayRead) {
  const Cors cors = Make({"https://Chat.example.com", "moz-extension://f7-45"});
  const Cors::Decision decision = cors.Decide("POST", "https://chat.example.com", kHost);
  EXPECT_FALSE(decision.refusal);
  EXPECT_THAT(decision.headers,
              Contains(Pair("Access-Control-Allow-Origin", "https://chat.example.com")));
  EXPECT_THAT(decision.headers, Contains(Pair("Vary", "Origin")));
  EXPECT_EQ(StatusOf(cors, "POST", "moz-extension://f7-45"), 200);
  EXPECT_EQ(StatusOf(cors, "POST", "http://chat.example.com"), 403);
  EXPECT_EQ(StatusOf(cors, "POST", "https://chat.example.com:8443"), 403);
  EXPECT_THAT(cors.Decide("GET", "https://evil.com", kHost).headers,
              ::testing::ElementsAre(Pair("Vary", "Origin")));
}

TEST(Cors, TheStarAllowsAll) {
  const Cors cors = Make({"*"});
  EXPECT_THAT(cors.Decide("POST", "https://evil.com", "evil.com").headers,
              Contains(Pair("Access-Control-Allow-Origin", "*")));
  EXPECT_EQ(StatusOf(cors, "POST", "null", "evil.com"), 200);
}

TEST(Cors, LocalhostAllowsThisMachine) {
  const Cors cors = Make({"localhost"});
  EXPECT_THAT(cors.Decide("POST", "http://localhost:3000", kHost).headers,
              Contains(Pair("Access-Control-Allow-Origin", "http://localhost:3000")));
  EXPECT_EQ(StatusOf(cors, "POST", "https://evil.com"), 403);
}

TEST(Cors, PreflightsSayWhatIsAllowed) {
  const Cors cors = Make({"https://chat.example.com"});
  const Cors::Decision allowed = cors.Decide("OPTIONS", "https://chat.example.com", kHost);
  EXPECT_TRUE(allowed.is_preflight);
  EXPECT_THAT(allowed.headers, Contains(Pair("Access-Control-Allow-Methods", HasSubstr("POST"))));
  EXPECT_THAT(allowed.headers,
              Contains(Pair("Access-Control-Allow-Headers", HasSubstr("Authorization"))));
  const Cors::Decision foreign = cors.Decide("OPTIONS", "https://evil.com", kHost);
  EXPECT_TRUE(foreign.is_preflight);
  EXPECT_THAT(foreign.headers, ::testing::ElementsAre(Pair("Vary", "Origin")));
}

TEST(Cors, ReboundNamesAreRefusedOnLoopback) {
  const Cors cors = Make({"https://chat.example.com"});
  for (const char* host : {"localhost", "LOCALHOST:8080", "127.0.0.1", "[::1]:8080", "",
                           "a.localhost:8080", "chat.example.com"}) {
    EXPECT_EQ(StatusOf(cors, "GET", "", host), 200) << host;
  }
  for (const char* host : {"evil.com", "evil.com:8080", "127.0.0.1.evil.com", "[::2]", "[", ":",
                           "localhost@evil.com"}) {
    EXPECT_EQ(StatusOf(cors, "GET", "", host), 403) << host;
    EXPECT_EQ(StatusOf(cors, "OPTIONS", "", host), 403) << host;
    EXPECT_EQ(StatusOf(cors, "POST", "http://evil.com:8080", host), 403) << host;
  }
  // With a key such a page gets nothing, and what others reach has names that nobody here knows.
  EXPECT_EQ(StatusOf(Make({}, "127.0.0.1", true), "GET", "", "box"), 200);
  EXPECT_EQ(StatusOf(Make({}, "0.0.0.0"), "GET", "", "box"), 200);
}

TEST(Cors, OriginsAreChecked) {
  for (const char* origin : {"", "example.com", "https://", "://x", "https://example.com/",
                             "https://a,https://b", "https://*.example.com"}) {
    const Result<Cors> cors = Cors::Create({{origin}, "127.0.0.1", false});
    ASSERT_FALSE(cors) << origin;
    EXPECT_THAT(cors.error().message, HasSubstr("expected scheme://host[:port]"));
  }
}

}  // namespace
}  // namespace quern
