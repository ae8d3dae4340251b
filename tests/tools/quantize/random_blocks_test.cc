#include "tools/quantize/random_blocks.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "kernels/reference.h"

namespace quern {
namespace {

constexpr GgmlType kTypes[] = {
    GgmlType::kF32,  GgmlType::kF16,  GgmlType::kBF16, GgmlType::kQ8_0,   GgmlType::kQ4_0,
    GgmlType::kQ4_1, GgmlType::kQ5_0, GgmlType::kQ5_1, GgmlType::kQ2_K,   GgmlType::kQ3_K,
    GgmlType::kQ4_K, GgmlType::kQ5_K, GgmlType::kQ6_K, GgmlType::kIQ4_NL, GgmlType::kIQ4_XS};

class RandomBlocks : public ::testing::TestWithParam<GgmlType> {};

TEST_P(RandomBlocks, HaveTheAskedDeviationAndNoMean) {
  constexpr size_t kCols = 256 * 512;
  constexpr double kSigma = 0.02;
  std::vector<std::byte> row(RowBytes(GetParam(), kCols));
  FillRandomBlocks(GetParam(), kSigma, 7, 0, row);
  std::vector<float> values(kCols);
  DequantizeRow(GetParam(), row.data(), kCols, values.data());
  double sum = 0;
  double squares = 0;
  for (const float value : values) {
    ASSERT_TRUE(std::isfinite(value));
    sum += value;
    squares += static_cast<double>(value) * value;
  }
  // 4,096 or more independent scales: the deviation of their mean square is below 2%. The mean of
  // signs of 4,096 blocks with half a step of offset (at most 0.22 sigma, 3-bit codes) is below
  // 0.01 sigma; five of each are allowed.
  EXPECT_NEAR(std::sqrt(squares / kCols), kSigma, 0.05 * kSigma);
  EXPECT_NEAR(sum / kCols, 0, 0.05 * kSigma);
}

TEST_P(RandomBlocks, DependOnTheirPositionAlone) {
  const size_t block_bytes = TraitsOf(GetParam()).block_bytes;
  std::vector<std::byte> whole(block_bytes * 10);
  FillRandomBlocks(GetParam(), 0.02, 7, 0, whole);
  std::vector<std::byte> part(block_bytes * 4);
  FillRandomBlocks(GetParam(), 0.02, 7, 3, part);
  EXPECT_TRUE(std::equal(part.begin(), part.end(),
                         whole.begin() + static_cast<ptrdiff_t>(3 * block_bytes)));
  FillRandomBlocks(GetParam(), 0.02, 8, 3, part);
  EXPECT_FALSE(std::equal(part.begin(), part.end(),
                          whole.begin() + static_cast<ptrdiff_t>(3 * block_bytes)));
}

INSTANTIATE_TEST_SUITE_P(AllTypes, RandomBlocks, ::testing::ValuesIn(kTypes),
                         [](const auto& instance) { return std::string(NameOf(instance.param)); });

TEST(RandomBlocksTypes, KnowsWhatItCannotMake) {
  EXPECT_TRUE(CanFillRandomBlocks(GgmlType::kQ4_K));
  EXPECT_FALSE(CanFillRandomBlocks(GgmlType::kIQ2_XXS));
}

}  // namespace
}  // namespace quern
