#include "server/access/used_signatures.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

namespace quern {
namespace {

using std::chrono::seconds;
using std::chrono::sys_seconds;
using ::testing::HasSubstr;

constexpr sys_seconds At(int second) { return sys_seconds(seconds(second)); }

Sha256Digest Digest(uint8_t first) {
  Sha256Digest digest{};
  digest[0] = first;
  return digest;
}

class UsedSignaturesTest : public ::testing::Test {
 protected:
  /// The status of the refusal; 0: it was taken.
  int Use(int signed_at, uint8_t signature, int now, const std::string& key = "alice") {
    refusal_ = used_.Use(key, At(signed_at), Digest(signature), At(now));
    return refusal_ ? refusal_->status : 0;
  }

  UsedSignatures used_{seconds(10), At(100), /*most_per_key=*/3};
  std::optional<HttpError> refusal_;
};

TEST_F(UsedSignaturesTest, EachIsTakenOnce) {
  EXPECT_EQ(Use(100, 1, 100), 0);
  EXPECT_EQ(Use(100, 1, 100), 401);
  EXPECT_THAT(refusal_->message, HasSubstr("used before"));
  EXPECT_EQ(Use(100, 1, 110, "bob"), 401);
  EXPECT_EQ(Use(100, 2, 110), 0);
  EXPECT_EQ(Use(101, 1, 110), 0);
}

TEST_F(UsedSignaturesTest, WhatWasSignedBeforeTheStartMayHaveBeenUsed) {
  EXPECT_EQ(Use(99, 1, 100), 401);
  EXPECT_THAT(refusal_->message, HasSubstr("before the server started"));
}

TEST_F(UsedSignaturesTest, NoneIsYoungAgainWhenTheClockIsSetBack) {
  EXPECT_EQ(Use(100, 1, 100), 0);
  EXPECT_EQ(Use(115, 2, 115), 0);  // forgets the first
  EXPECT_EQ(Use(100, 1, 105), 401);
}

TEST_F(UsedSignaturesTest, AKeyHasOnlySoMany) {
  for (uint8_t i = 0; i < 3; ++i) EXPECT_EQ(Use(100, i, 104), 0);
  EXPECT_EQ(Use(104, 9, 104), 429);
  EXPECT_EQ(refusal_->retry_after, 7);  // the first three are forgotten at 111
  EXPECT_EQ(Use(104, 9, 104, "bob"), 0);
  EXPECT_EQ(Use(104, 8, 111), 0);
}

}  // namespace
}  // namespace quern
