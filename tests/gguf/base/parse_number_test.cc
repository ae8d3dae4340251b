#include "gguf/base/parse_number.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <optional>

namespace quern {
namespace {

TEST(ParseNumber, TakesTheWholeText) {
  EXPECT_EQ(ParseNumber<uint64_t>("18446744073709551615"), UINT64_MAX);
  EXPECT_EQ(ParseNumber<int32_t>("-7"), -7);
  EXPECT_EQ(ParseNumber<float>("-0.5"), -0.5F);
  for (const char* bad : {"", " 1", "1 ", "+1", "1x", "x", "0x10", "1.5"}) {
    EXPECT_EQ(ParseNumber<int32_t>(bad), std::nullopt) << bad;
  }
}

TEST(ParseNumber, RefusesWhatDoesNotFit) {
  EXPECT_EQ(ParseNumber<uint64_t>("18446744073709551616"), std::nullopt);
  EXPECT_EQ(ParseNumber<uint8_t>("256"), std::nullopt);
  EXPECT_EQ(ParseNumber<uint8_t>("-1"), std::nullopt);
}

}  // namespace
}  // namespace quern
