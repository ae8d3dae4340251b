#include "kernels/half.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace quern {
namespace {

constexpr float kInf = std::numeric_limits<float>::infinity();

TEST(HalfTest, KnownF16Values) {
  EXPECT_EQ(F16ToF32(0x0000), 0.0F);
  EXPECT_TRUE(std::signbit(F16ToF32(0x8000)));
  EXPECT_EQ(F16ToF32(0x3C00), 1.0F);
  EXPECT_EQ(F16ToF32(0xC000), -2.0F);
  EXPECT_EQ(F16ToF32(0x7BFF), kF16Max);
  EXPECT_EQ(F16ToF32(0x0001), 0x1p-24F);
  EXPECT_EQ(F16ToF32(0x03FF), 0x1.FF8p-15F);
  EXPECT_EQ(F16ToF32(0x0400), 0x1p-14F);
  EXPECT_EQ(F16ToF32(0xFC00), -kInf);
  EXPECT_TRUE(std::isnan(F16ToF32(0x7E00)));
}

TEST(HalfTest, EveryF16IsExactInF32) {
  for (uint32_t bits = 0; bits < 0x10000U; ++bits) {
    const float value = F16ToF32(static_cast<uint16_t>(bits));
    if (std::isnan(value)) {
      EXPECT_TRUE(std::isnan(F16ToF32(F32ToF16(value)))) << bits;
    } else {
      EXPECT_EQ(F32ToF16(value), bits);
    }
  }
}

TEST(HalfTest, F16RoundsToNearestTiesToEven) {
  // Between each two neighbours: the midpoint goes to the even one, a float beside it to the nearer
  // one.
  for (uint32_t bits = 0; bits < 0x7BFFU; ++bits) {
    const float low = F16ToF32(static_cast<uint16_t>(bits));
    const float high = F16ToF32(static_cast<uint16_t>(bits + 1));
    const float middle = low + (high - low) / 2;
    const uint32_t even = bits % 2 == 0 ? bits : bits + 1;
    EXPECT_EQ(F32ToF16(middle), even);
    EXPECT_EQ(F32ToF16(std::nextafter(middle, -kInf)), bits);
    EXPECT_EQ(F32ToF16(std::nextafter(middle, kInf)), bits + 1);
    EXPECT_EQ(F32ToF16(-middle), even | 0x8000U);
  }
}

TEST(HalfTest, F16Overflow) {
  EXPECT_EQ(F32ToF16(std::nextafter(65520.0F, 0.0F)), 0x7BFF);
  EXPECT_EQ(F32ToF16(65520.0F), 0x7C00);
  EXPECT_EQ(F32ToF16(-1e30F), 0xFC00);
  EXPECT_EQ(F32ToF16(kInf), 0x7C00);
}

TEST(HalfTest, Bf16) {
  EXPECT_EQ(Bf16ToF32(0x3F80), 1.0F);
  EXPECT_EQ(F32ToBf16(1.0F), 0x3F80);
  EXPECT_EQ(F32ToBf16(1.0F + 0x1p-8F), 0x3F80);  // tie to even
  EXPECT_EQ(F32ToBf16(1.0F + 0x3p-8F), 0x3F82);  // tie to even, upwards
  EXPECT_EQ(F32ToBf16(1.0F + 0x1p-8F + 0x1p-20F), 0x3F81);
  EXPECT_EQ(F32ToBf16(kInf), 0x7F80);
  EXPECT_EQ(F32ToBf16(-std::numeric_limits<float>::max()), 0xFF80);
  EXPECT_TRUE(std::isnan(Bf16ToF32(F32ToBf16(std::bit_cast<float>(0x7F800001U)))));
}

}  // namespace
}  // namespace quern
