// Layout of quantized activation rows, which every integer weight type multiplies with.
#pragma once

#include <cstddef>
#include <cstdint>

namespace quern {

/// Columns that share one scale. Finer than the 256 of the K types, so that one outlier spoils
/// fewer neighbours.
inline constexpr size_t kActivationBlock = 32;

/// 32 columns of one row: x[i] ~ scale * q[i]. A row is an array of these.
/// The sums let a product subtract what the weights' zero points and minimums contribute without
/// touching the weights again; types with sub-blocks of 16 take them by halves. The integer ones
/// are what a dot product starts from when 128 stands for a weight of 0.
/// A block with an infinity or NaN has a scale and float sums of NaN and all integers 0.
struct ActivationBlock {
  float scale;        ///< max|x| / 127
  float sum;          ///< scale * sum of q
  float half_sum[2];  ///< scale * sum of q[16h .. 16h+15]
  int32_t start[2];   ///< -128 * sum of q[16h .. 16h+15]
  int8_t q[kActivationBlock];
};
static_assert(sizeof(ActivationBlock) == 56);

}  // namespace quern
