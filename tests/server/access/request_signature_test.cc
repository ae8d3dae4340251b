#include "server/access/request_signature.h"

#include <gtest/gtest.h>

namespace quern {
namespace {

using std::chrono::seconds;
using std::chrono::sys_seconds;

/// Computed by Python's hmac and hashlib as SIGNATURES.md describes.
TEST(RequestSignature, IsAsDocumented) {
  const Sha256Digest secret = SigningSecret("the key");
  EXPECT_EQ(Hex(secret), "87db95be8ec7fad5dc31f6eddeadb82d07507802c77accf28d5c90380f722883");
  EXPECT_EQ(Hex(Signature(secret, {.timestamp = "1764086400.25",
                                   .method = "POST",
                                   .target = "/v1/completions?a=b",
                                   .body = R"({"prompt":"a"})"})),
            "157810f44c15fd1db11ad753b0fa165678dfa19ae5faf157716bd297f636a0d5");
}

TEST(RequestSignature, EveryPartCounts) {
  const Sha256Digest secret = SigningSecret("the key");
  const SignedRequest request = {.timestamp = "1", .method = "GET", .target = "/a", .body = "b"};
  const Sha256Digest right = Signature(secret, request);
  SignedRequest other = request;
  other.timestamp = "2";
  EXPECT_NE(Signature(secret, other), right);
  other = request;
  other.method = "PUT";
  EXPECT_NE(Signature(secret, other), right);
  other = request;
  other.target = "/b";
  EXPECT_NE(Signature(secret, other), right);
  other = request;
  other.body = "";
  EXPECT_NE(Signature(secret, other), right);
  EXPECT_NE(Signature(SigningSecret("the kez"), request), right);
}

TEST(RequestSignature, TimesAreSecondsSince1970) {
  EXPECT_EQ(ParseSignatureTime("0"), sys_seconds(seconds(0)));
  EXPECT_EQ(ParseSignatureTime("1764086400"), sys_seconds(seconds(1764086400)));
  EXPECT_EQ(ParseSignatureTime("1764086400.999999999"), sys_seconds(seconds(1764086400)));
  for (const char* text : {"", "-1", "+1", " 1", "1 ", "1.", ".5", "1.0000000000", "12345678901",
                           "1e3", "1.2.3", "0x1", "now"}) {
    EXPECT_EQ(ParseSignatureTime(text), std::nullopt) << text;
  }
}

}  // namespace
}  // namespace quern
