#include "tools/hub/hub_client.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <string>

#include "tests/testing/local_hub.h"

namespace quern {
namespace {

using ::testing::HasSubstr;
using testing::LocalHub;
using ::testing::Not;

constexpr RetryPolicy kQuick = {.most_tries = 3, .first_wait = std::chrono::milliseconds(1)};
const std::string kSha256(64, 'a');

TEST(HubClient, ReadsTheListing) {
  const auto listing = ParseHubListing(
      R"({"id":"a/b","sha":"0123456789abcdef0123456789abcdef01234567","siblings":[
          {"rfilename":"README.md","size":5},
          {"rfilename":"m.gguf","size":130,"lfs":{"sha256":")" +
      kSha256 + R"(","size":99,"pointerSize":130}},{"rfilename":"n.gguf","lfs":{"oid":")" +
      kSha256 + R"("}}]})");
  ASSERT_TRUE(listing) << listing.error().message;
  EXPECT_EQ(listing->commit, "0123456789abcdef0123456789abcdef01234567");
  ASSERT_EQ(listing->files.size(), 3);
  EXPECT_EQ(listing->files[0].size, 5);
  EXPECT_EQ(listing->files[0].sha256, "");
  EXPECT_EQ(listing->files[1].size, 99);
  EXPECT_EQ(listing->files[1].sha256, kSha256);
  EXPECT_EQ(listing->files[2].sha256, kSha256);
  // What is stored is what was read.
  EXPECT_EQ(HubListingJson(ParseHubListing(HubListingJson(*listing)).value()),
            HubListingJson(*listing));
}

TEST(HubClient, GarbageIsAnErrorOrLeftOut) {
  for (const std::string& text :
       {std::string(), std::string("<html>"), std::string("{"), std::string("[]"),
        std::string("null"), std::string("{}"), std::string(R"({"siblings":{}})"),
        std::string(R"({"siblings":"x"})"), std::string("\xff\xfe\0x", 4), std::string(100000, '['),
        "{\"siblings\":" + std::string(100000, '[')}) {
    const auto listing = ParseHubListing(text);
    ASSERT_FALSE(listing) << text.substr(0, 40);
    EXPECT_EQ(listing.error().code, ErrorCode::kCorruptFile);
    EXPECT_LT(listing.error().message.size(), 500);
  }
  for (const char* entry :
       {"1", "null", "[]", "{}", "\"m.gguf\"", R"({"rfilename":1})", R"({"rfilename":""})"}) {
    EXPECT_TRUE(
        ParseHubListing(std::string(R"({"siblings":[)") + entry + "]}").value().files.empty())
        << entry;
  }
  for (const char* rest : {R"("size":-1)", R"("size":"9")", R"("size":1e300)", R"("lfs":[])",
                           R"("lfs":{"sha256":7,"size":null})", R"("lfs":{"sha256":"../../x"})",
                           R"("lfs":null)", R"("size":99999999999999999999999)"}) {
    const auto listing = ParseHubListing(
        std::string(R"({"sha":"../..","siblings":[{"rfilename":"m",)") + rest + "}]}");
    ASSERT_TRUE(listing) << rest;
    EXPECT_EQ(listing->commit, "");
    ASSERT_EQ(listing->files.size(), 1) << rest;
    EXPECT_EQ(listing->files[0].size, 0) << rest;
    EXPECT_EQ(listing->files[0].sha256, "") << rest;
  }
}

TEST(HubClient, EveryBeginningOfAListingIsReadOrRefused) {
  const std::string whole =
      HubListingJson({.commit = std::string(40, '0'),
                      .files = {{.path = "m.gguf", .size = 9, .sha256 = kSha256}}});
  for (size_t n = 0; n < whole.size(); ++n) EXPECT_FALSE(ParseHubListing(whole.substr(0, n))) << n;
  for (size_t at = 0; at < whole.size(); ++at) {
    for (const char c : {'\0', '"', '}', '[', '9', '\xff'}) {
      std::string broken = whole;
      broken[at] = c;
      const auto listing = ParseHubListing(broken);
      EXPECT_TRUE(listing || !listing.error().message.empty());
    }
  }
}

TEST(HubClient, EndpointsAndTokensAreChecked) {
  EXPECT_TRUE(CheckHubServer({.endpoint = "http://127.0.0.1:1/", .token = "hf_x"}));
  for (const char* endpoint : {"", "huggingface.co", "ftp://a", "file:///etc", "https://a?b"}) {
    EXPECT_FALSE(CheckHubServer({.endpoint = endpoint, .token = ""})) << endpoint;
  }
  const Status password = CheckHubServer({.endpoint = "https://me:secret@a", .token = ""});
  ASSERT_FALSE(password);
  EXPECT_THAT(password.error().message, Not(HasSubstr("secret")));
  for (const char* token : {"a b", "a\r\nX: y", "\x80"}) {
    const Status status = CheckHubServer({.endpoint = "https://a", .token = token});
    ASSERT_FALSE(status);
    EXPECT_THAT(status.error().message, Not(HasSubstr(token)));
  }
}

TEST(HubClient, RefusalsSayWhatToDo) {
  LocalHub hub;
  hub.faults().token = "hf_right";
  const auto error_for = [&](const std::string& token) {
    const auto listing = FetchListing({hub.endpoint(), token}, "org/repo", "main", kQuick);
    return listing ? "" : listing.error().message;
  };
  EXPECT_THAT(error_for(""), HasSubstr("org/repo: the hub knows no such model, or shows it"));
  EXPECT_THAT(error_for(""), HasSubstr("HF_TOKEN"));
  EXPECT_THAT(error_for("hf_wrong"), HasSubstr("does not take the token (401)"));
  EXPECT_THAT(error_for("hf_wrong"), Not(HasSubstr("hf_wrong")));
  EXPECT_EQ(error_for("hf_right"), "");
  hub.faults().refusal = 403;
  EXPECT_THAT(error_for("hf_wrong"), HasSubstr("refuses access to the token's account (403)"));
  hub.faults().error_code = "GatedRepo";
  EXPECT_THAT(error_for(""), HasSubstr("agreed to terms on its page"));
}

TEST(HubClient, WhatIsNotThereIsNamed) {
  LocalHub hub;
  const auto error_for = [&](const std::string& repository, const std::string& revision) {
    const auto listing = FetchListing({hub.endpoint(), ""}, repository, revision, kQuick);
    return listing ? "" : listing.error().message;
  };
  EXPECT_THAT(error_for("org/none", "main"), HasSubstr("org/none: the hub has no such model"));
  EXPECT_THAT(error_for("org/repo", "v9"), HasSubstr("org/repo: the hub has no such revision"));
  hub.faults().listing = "<html>";
  EXPECT_THAT(error_for("org/repo", "main"),
              HasSubstr("lists no repository: the body is not JSON"));
}

TEST(HubClient, NoHubIsAnErrorAtOnce) {
  const auto listing = FetchListing({"http://127.0.0.1:1", ""}, "org/repo", "main", RetryPolicy());
  ASSERT_FALSE(listing);
  EXPECT_THAT(listing.error().message, HasSubstr("org/repo: no answer from the hub: "));
}

}  // namespace
}  // namespace quern
