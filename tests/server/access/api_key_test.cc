#include "server/access/api_key.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <string>

#include "server/access/request_signature.h"

namespace quern {
namespace {

using std::chrono::seconds;
using ::testing::HasSubstr;
using ::testing::MatchesRegex;
using ::testing::Not;

// By Python: hmac.new(bytes(range(16)), b"secret", "sha256").hexdigest()
constexpr const char* kLine =
    "alice hmac-sha256:000102030405060708090a0b0c0d0e0f:"
    "9cc810f633736c73be6be79d4c9b53872b1b01fd14b9fdf17f796ffadbbb613e";

TEST(RequestRate, IsANumberInATime) {
  EXPECT_EQ(ParseRequestRate("60/min").value(), (RequestRate{60, seconds(60)}));
  EXPECT_EQ(ParseRequestRate("1/s").value(), (RequestRate{1, seconds(1)}));
  EXPECT_EQ(ParseRequestRate("5/h").value(), (RequestRate{5, seconds(3600)}));
  EXPECT_EQ(ParseRequestRate("9000/day").value(), (RequestRate{9000, seconds(86400)}));
  for (const char* text : {"", "60", "60/", "/min", "60/m", "-1/s", "0/s", "1.5/s", "60 /min",
                           "99999999999999999999/s", "60/min ", "+1/s"}) {
    const Result<RequestRate> rate = ParseRequestRate(text);
    ASSERT_FALSE(rate) << text;
    EXPECT_THAT(rate.error().message, HasSubstr("no rate of requests, expected a number and /s"));
  }
  for (const char* text : {"60/min", "1/s", "5/h", "9000/day"}) {
    EXPECT_EQ(ToString(ParseRequestRate(text).value()), text);
  }
}

TEST(ApiKey, MatchesItsSecretAlone) {
  const ApiKey key = ApiKey::Create("alice", "secret").value();
  EXPECT_EQ(key.name(), "alice");
  EXPECT_TRUE(key.Matches("secret"));
  for (const char* other : {"", "secre", "secrets", "Secret", "secretsecret"}) {
    EXPECT_FALSE(key.Matches(other)) << other;
  }
}

TEST(ApiKey, ALineHasTheDigestAndNotTheKey) {
  const ApiKey key =
      ApiKey::Create("a.b-c_1", "secret", {RequestRate{7, seconds(3600)}, 3, 5000}).value();
  const std::string line = key.Line();
  EXPECT_THAT(line, MatchesRegex("a\\.b-c_1 hmac-sha256:[0-9a-f]{32}:[0-9a-f]{64} rate=7/h "
                                 "concurrent=3 tokens=5000"));
  EXPECT_THAT(line, Not(HasSubstr("secret")));
  const ApiKey parsed = ApiKey::Parse(line).value();
  EXPECT_EQ(parsed.name(), "a.b-c_1");
  EXPECT_EQ(parsed.limits(), key.limits());
  EXPECT_TRUE(parsed.Matches("secret"));
  EXPECT_FALSE(parsed.Matches("other"));
  EXPECT_NE(ApiKey::Create("a", "secret").value().Line(), ApiKey::Create("a", "secret")->Line());
}

TEST(ApiKey, TheDigestIsHmacSha256) { EXPECT_TRUE(ApiKey::Parse(kLine)->Matches("secret")); }

TEST(ApiKey, BadLinesSayWhatIsWrong) {
  const auto message_of = [](const std::string& line) {
    const Result<ApiKey> key = ApiKey::Parse(line);
    return key ? "" : key.error().message;
  };
  const std::string good = kLine;
  for (const std::string& line :
       {std::string(), std::string("alice"), std::string("my secret"), good + "0",
        good.substr(0, 40), good.substr(0, good.size() - 1) + "g"}) {
    EXPECT_THAT(message_of(line), HasSubstr("no digest of a key, expected NAME")) << line;
    EXPECT_THAT(message_of(line), Not(HasSubstr("secret")));
  }
  const std::string digest = good.substr(good.find(' '));
  EXPECT_THAT(message_of("a/b" + digest), HasSubstr("'a/b' is no name of a key"));
  EXPECT_THAT(message_of(std::string(65, 'a') + digest), HasSubstr("no name of a key"));
  EXPECT_THAT(message_of(good + " rate=5"), HasSubstr("'5' is no rate of requests"));
  for (const char* word :
       {"speed=5", "concurrent=0", "concurrent=-1", "concurrent=", "tokens", "tokens=1e3", "=5"}) {
    EXPECT_THAT(message_of(good + " " + word), HasSubstr("is no limit of a key")) << word;
  }
}

TEST(ApiKey, KeysThatNoClientCanSendAreRefused) {
  EXPECT_THAT(ApiKey::Create("a", "").error().message, HasSubstr("an API key is empty"));
  for (const char* secret : {"a b", " a", "a\n", "\x7f", "\xc3\xa4"}) {
    const Result<ApiKey> key = ApiKey::Create("a", secret);
    ASSERT_FALSE(key);
    EXPECT_THAT(key.error().message, HasSubstr("no header can carry"));
  }
}

TEST(ApiKey, NewSecretsCanBeSentAndDiffer) {
  const std::string secret = ApiKey::NewSecret();
  EXPECT_THAT(secret, MatchesRegex("quern-[A-Za-z0-9_-]{43}"));
  EXPECT_NE(secret, ApiKey::NewSecret());
}

TEST(ApiKey, MaySignWithASecretOfItsOwn) {
  for (const Signing signing : {Signing::kOptional, Signing::kRequired}) {
    const ApiKey key = ApiKey::Create("alice", "secret", {.concurrent = 2}, signing).value();
    const Result<ApiKey> read = ApiKey::Parse(key.Line());
    ASSERT_TRUE(read) << key.Line();
    EXPECT_EQ(read->signing(), signing);
    EXPECT_EQ(read->signing_secret(), SigningSecret("secret"));
    EXPECT_EQ(read->limits(), key.limits());
    EXPECT_EQ(read->Line(), key.Line());
  }
  const std::string line = ApiKey::Create("alice", "secret").value().Line();
  EXPECT_EQ(ApiKey::Parse(line)->signing(), Signing::kNever);
  const auto error = [&](const std::string& more) {
    const Result<ApiKey> key = ApiKey::Parse(line + more);
    return key ? "no error" : key.error().message;
  };
  EXPECT_EQ(error(" signed"), "the key is to be signed, but no signing=SECRET stands before it");
  EXPECT_EQ(error(" signing=abc"), "signing= has no secret, expected 64 hex digits");
  // It may be a secret that was misnamed.
  EXPECT_EQ(error(" signin=abc").find("abc"), std::string::npos);
}

}  // namespace
}  // namespace quern
