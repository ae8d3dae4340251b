#include "server/telemetry/request_id.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

namespace quern {
namespace {

TEST(RequestId, IsRandom) {
  std::set<std::string> ids;
  for (int i = 0; i < 1000; ++i) ids.insert(NewRequestId());
  EXPECT_EQ(ids.size(), 1000U);
  EXPECT_THAT(ids, ::testing::Each(::testing::MatchesRegex("[0-9a-f]{16}")));
  EXPECT_THAT(ids, ::testing::Each(::testing::Truly(IsRequestId)));
}

TEST(RequestId, TakesWhatCanStandInAHeaderAndALog) {
  EXPECT_TRUE(IsRequestId("a"));
  EXPECT_TRUE(IsRequestId("0b5f6c1e-43a1-4f0e:1/2=3+4"));
  EXPECT_TRUE(IsRequestId(std::string(128, '~')));

  EXPECT_FALSE(IsRequestId(""));
  EXPECT_FALSE(IsRequestId(std::string(129, 'a')));
  for (const char bad :
       {' ', '"', '\'', '`', '\\', '\n', '\r', '\t', '\0', '\x1b', '\x7f', '\x80', '\xff'}) {
    EXPECT_FALSE(IsRequestId(std::string("a") + bad + "b")) << static_cast<int>(bad);
  }
}

}  // namespace
}  // namespace quern
