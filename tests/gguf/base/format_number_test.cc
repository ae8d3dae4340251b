#include "gguf/base/format_number.h"

#include <gtest/gtest.h>

namespace quern {
namespace {

TEST(FormatBytes, ThreeDigitsOfTheLargestUnit) {
  EXPECT_EQ(FormatBytes(0), "0 B");
  EXPECT_EQ(FormatBytes(999), "999 B");
  EXPECT_EQ(FormatBytes(1024), "1.00 KiB");
  EXPECT_EQ(FormatBytes(10 << 20), "10.0 MiB");
  EXPECT_EQ(FormatBytes(4920739232), "4.58 GiB");
  EXPECT_EQ(FormatBytes(UINT64_MAX), "16777216 TiB");
}

TEST(FormatCount, ThreeDigitsOfTheLargestUnit) {
  EXPECT_EQ(FormatCount(512), "512");
  EXPECT_EQ(FormatCount(5508352), "5.51 M");
  EXPECT_EQ(FormatCount(8030261312), "8.03 B");
  EXPECT_EQ(FormatCount(999999), "1.00 M");
}

TEST(FormatThousands, SeparatesGroups) {
  EXPECT_EQ(FormatThousands(0), "0");
  EXPECT_EQ(FormatThousands(999), "999");
  EXPECT_EQ(FormatThousands(1000), "1,000");
  EXPECT_EQ(FormatThousands(18446744073709551615ULL), "18,446,744,073,709,551,615");
}

TEST(BitsPerWeight, IsZeroWithoutWeights) {
  EXPECT_EQ(BitsPerWeight(18, 32), 4.5);
  EXPECT_EQ(BitsPerWeight(18, 0), 0);
}

}  // namespace
}  // namespace quern
