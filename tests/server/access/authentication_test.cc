#include "server/access/authentication.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cctype>
#include <string>
#include <string_view>

#include "server/access/request_signature.h"

namespace quern {
namespace {

using std::chrono::seconds;
using std::chrono::sys_seconds;
using ::testing::HasSubstr;

constexpr sys_seconds kStart{seconds(1'764'000'000)};

class AuthenticationTest : public ::testing::Test {
 protected:
  static HttpRequest Post(std::string_view body) {
    HttpRequest request;
    request.method = "POST";
    request.target = "/v1/completions?a=1";
    request.path = "/v1/completions";
    request.body = body;
    return request;
  }
  static void Sign(HttpRequest& request, const std::string& name, const std::string& key,
                   const std::string& timestamp) {
    const Sha256Digest signature = Signature(SigningSecret(key), {.timestamp = timestamp,
                                                                  .method = request.method,
                                                                  .target = request.target,
                                                                  .body = request.body});
    request.headers.Add(kSignatureKeyHeader, name);
    request.headers.Add(kSignatureTimeHeader, timestamp);
    request.headers.Add(kSignatureHeader, Hex(signature));
  }
  static std::string TimeText(sys_seconds time) {
    return std::to_string(time.time_since_epoch().count());
  }
  HttpRequest Signed(const std::string& name, const std::string& key,
                     std::string_view body = "{}") const {
    HttpRequest request = Post(body);
    Sign(request, name, key, TimeText(now_));
    return request;
  }
  static HttpRequest WithKey(const std::string& key) {
    HttpRequest request = Post("{}");
    request.headers.Add("Authorization", "Bearer " + key);
    return request;
  }

  /// Why it is refused by its head alone, "" where it is not.
  std::string HeadRefusal(const HttpRequest& request) const {
    const auto refusal = authentication_.RefusalOfHead(access_, request);
    if (!refusal) return "";
    EXPECT_EQ(refusal->status, 401);
    return refusal->message;
  }
  /// Why it is refused once its body is there, which its head did not tell.
  std::string BodyRefusal(const HttpRequest& request) {
    EXPECT_EQ(HeadRefusal(request), "");
    const auto caller = authentication_.Identify(access_, request);
    if (caller) return "";
    EXPECT_EQ(caller.error().status, 401);
    return caller.error().message;
  }
  std::string NameOf(const HttpRequest& request) {
    EXPECT_EQ(HeadRefusal(request), "");
    const auto caller = authentication_.Identify(access_, request);
    if (!caller) return "refused: " + caller.error().message;
    return *caller == nullptr ? "nobody" : (*caller)->name();
  }

  AccessControl access_{{ApiKey::Create("must", "m", {}, Signing::kRequired).value(),
                         ApiKey::Create("may", "y", {}, Signing::kOptional).value(),
                         ApiKey::Create("sends", "s").value()}};
  sys_seconds now_ = kStart;
  Authentication authentication_{seconds(300), [this] { return now_; }};
};

TEST_F(AuthenticationTest, SignedRequestsAreTheirKeys) {
  EXPECT_EQ(NameOf(Signed("must", "m")), "must");
  EXPECT_EQ(NameOf(Signed("may", "y")), "may");
  HttpRequest with_other_key = Signed("may", "y", "other");
  with_other_key.headers.Add("Authorization", "Bearer s");
  EXPECT_EQ(NameOf(with_other_key), "may");
}

TEST_F(AuthenticationTest, KeysAreTakenAsTheyAreUnlessTheyMustSign) {
  EXPECT_EQ(NameOf(WithKey("s")), "sends");
  EXPECT_EQ(NameOf(WithKey("y")), "may");
  EXPECT_THAT(HeadRefusal(WithKey("m")), HasSubstr("requests with this key must be signed"));
  EXPECT_FALSE(authentication_.Identify(access_, WithKey("m")));
  EXPECT_EQ(HeadRefusal(WithKey("x")), "no valid API key");
  EXPECT_EQ(authentication_.Identify(access_, WithKey("x")).error().message, "no valid API key");
  EXPECT_EQ(HeadRefusal(Post("{}")), "no valid API key");
}

TEST_F(AuthenticationTest, AWrongSignatureTellsNoMoreThanAnUnknownName) {
  const std::string unknown = HeadRefusal(Signed("nobody", "m"));
  EXPECT_THAT(unknown, HasSubstr("no valid signature"));
  EXPECT_EQ(HeadRefusal(Signed("sends", "s")), unknown);
  EXPECT_EQ(BodyRefusal(Signed("must", "y")), unknown);
  HttpRequest request = Signed("must", "m");
  request.body = "{ }";
  EXPECT_EQ(BodyRefusal(request), unknown);
  request = Signed("must", "m");
  request.target = "/v1/completions?a=2";
  EXPECT_EQ(BodyRefusal(request), unknown);
  request = Signed("must", "m");
  request.method = "PUT";
  EXPECT_EQ(BodyRefusal(request), unknown);
  request = Signed("must", "m");
  request.headers.Erase(kSignatureTimeHeader);
  request.headers.Add(kSignatureTimeHeader, TimeText(now_ + seconds(1)));
  EXPECT_EQ(BodyRefusal(request), unknown);
  // The name stands for the key, and is not signed.
  request = Signed("must", "m");
  request.headers.Erase(kSignatureKeyHeader);
  request.headers.Add(kSignatureKeyHeader, "may");
  EXPECT_EQ(BodyRefusal(request), unknown);
}

TEST_F(AuthenticationTest, EachHeaderIsNeededOnceAndInItsForm) {
  for (const char* header : {kSignatureKeyHeader, kSignatureTimeHeader, kSignatureHeader}) {
    HttpRequest request = Signed("must", "m");
    request.headers.Add(header, request.headers.Get(header));
    EXPECT_THAT(HeadRefusal(request), HasSubstr(std::string(header) + " 2 times"));
    request.headers.Erase(header);
    EXPECT_THAT(HeadRefusal(request), HasSubstr(std::string(header) + " 0 times"));
    request.headers.Add(header, "x\n");
    EXPECT_NE(HeadRefusal(request), "") << header;
  }
  HttpRequest request = Post("{}");
  Sign(request, "must", "m", "yesterday");
  EXPECT_THAT(HeadRefusal(request),
              HasSubstr("X-Quern-Timestamp is 'yesterday', expected seconds"));
  request = Signed("must", "m");
  request.headers.Erase(kSignatureHeader);
  request.headers.Add(kSignatureHeader, std::string(64, 'g'));
  EXPECT_THAT(HeadRefusal(request),
              HasSubstr("X-Quern-Signature is no signature, expected 64 hex digits"));
}

TEST_F(AuthenticationTest, TheWindowHasTwoEdges) {
  now_ += seconds(1000);
  const auto refusal = [this](int offset) {
    HttpRequest request = Post("{}");
    Sign(request, "must", "m", TimeText(now_ + seconds(offset)));
    return HeadRefusal(request);
  };
  EXPECT_EQ(refusal(300), "");
  EXPECT_EQ(refusal(-300), "");
  EXPECT_THAT(refusal(301), HasSubstr("301 s after the server's time, expected at most 300"));
  EXPECT_THAT(refusal(-301), HasSubstr("301 s before the server's time, expected at most 300"));
}

TEST_F(AuthenticationTest, ARequestIsTakenOnceForAsLongAsItsTimeIs) {
  const HttpRequest request = Signed("must", "m");
  EXPECT_EQ(NameOf(request), "must");
  EXPECT_THAT(BodyRefusal(request), HasSubstr("was used before"));
  HttpRequest upper = Post("{}");
  Sign(upper, "must", "m", TimeText(now_));
  std::string signature = upper.headers.Get(kSignatureHeader);
  for (char& c : signature) c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  upper.headers.Erase(kSignatureHeader);
  upper.headers.Add(kSignatureHeader, signature);
  EXPECT_THAT(BodyRefusal(upper), HasSubstr("was used before"));
  now_ += seconds(300);
  EXPECT_THAT(BodyRefusal(request), HasSubstr("was used before"));
  now_ += seconds(1);
  EXPECT_THAT(HeadRefusal(request), HasSubstr("301 s before the server's time"));
  HttpRequest again = Post("{}");
  Sign(again, "must", "m", TimeText(now_) + ".5");
  EXPECT_EQ(NameOf(again), "must");
  again = Post("{}");
  Sign(again, "must", "m", TimeText(now_) + ".6");
  EXPECT_EQ(NameOf(again), "must");
}

TEST_F(AuthenticationTest, AForgedRequestUsesUpNoSignature) {
  HttpRequest forged = Signed("must", "m");
  forged.body = "{ }";
  EXPECT_NE(BodyRefusal(forged), "");
  EXPECT_EQ(NameOf(Signed("must", "m")), "must");
}

TEST_F(AuthenticationTest, OpenPathsAndServersWithoutKeysTakeAnySignature) {
  HttpRequest request = Signed("nobody", "x");
  request.method = "GET";
  request.path = "/health";
  EXPECT_EQ(NameOf(request), "nobody");
  access_ = AccessControl();
  EXPECT_EQ(NameOf(Signed("nobody", "x")), "nobody");
  EXPECT_EQ(NameOf(Post("{}")), "nobody");
}

}  // namespace
}  // namespace quern
