#include "kernels/quantize.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>

#include "gguf/base/check.h"
#include "kernels/blocks.h"
#include "kernels/code_fit.h"
#include "kernels/half.h"
#include "kernels/super_block_search.h"

namespace quern {
namespace {

constexpr std::array<GgmlType, 11> kTypes = {GgmlType::kF32,  GgmlType::kF16,  GgmlType::kBF16,
                                             GgmlType::kQ8_0, GgmlType::kQ4_0, GgmlType::kQ4_1,
                                             GgmlType::kQ5_0, GgmlType::kQ5_1, GgmlType::kQ4_K,
                                             GgmlType::kQ5_K, GgmlType::kQ6_K};

// ---- blocks of 32 with half-precision scales

HalfBits SaturatedHalf(float value) { return F32ToF16(std::clamp(value, -kF16Max, kF16Max)); }

void PackNibbles(const int8_t* codes, int zero, uint8_t* qs) {
  for (size_t i = 0; i < 16; ++i) {
    qs[i] = static_cast<uint8_t>(((codes[i] + zero) & 15) | (((codes[i + 16] + zero) & 15) << 4));
  }
}

void PackFifthBits(const int8_t* codes, int zero, uint8_t* qh) {
  std::fill_n(qh, 4, uint8_t{0});
  for (size_t i = 0; i < 32; ++i) {
    qh[i / 8] |= static_cast<uint8_t>((((codes[i] + zero) >> 4) & 1) << (i % 8));
  }
}

void Pack(const int8_t* codes, float scale, float /*offset*/, BlockQ8_0& block) {
  block.d = F32ToF16(scale);
  std::copy_n(codes, 32, block.qs);
}

void Pack(const int8_t* codes, float scale, float /*offset*/, BlockQ4_0& block) {
  block.d = F32ToF16(scale);
  PackNibbles(codes, 8, block.qs);
}

void Pack(const int8_t* codes, float scale, float offset, BlockQ4_1& block) {
  block.d = F32ToF16(scale);
  block.m = F32ToF16(offset);
  PackNibbles(codes, 0, block.qs);
}

void Pack(const int8_t* codes, float scale, float /*offset*/, BlockQ5_0& block) {
  block.d = F32ToF16(scale);
  PackFifthBits(codes, 16, block.qh);
  PackNibbles(codes, 16, block.qs);
}

void Pack(const int8_t* codes, float scale, float offset, BlockQ5_1& block) {
  block.d = F32ToF16(scale);
  block.m = F32ToF16(offset);
  PackFifthBits(codes, 0, block.qh);
  PackNibbles(codes, 0, block.qs);
}

constexpr CodeFormat Scaled(float low, float high) {
  return {.low = low, .high = high, .half_precision = true};
}

constexpr CodeFormat Affine(float high) {
  return {.low = 0, .high = high, .offset = CodeFormat::Offset::kFree, .half_precision = true};
}

template <typename Block>
void QuantizeSmallBlocks(const CodeFormat& format, const float* x, const float* importance,
                         size_t n_cols, std::byte* row) {
  const size_t n_blocks = n_cols / kSmallBlock;
  FitBatch batch;
  std::array<int8_t, kFitLanes * kSmallBlock> codes;
  for (size_t b = 0; b < n_blocks; b += kFitLanes) {
    const size_t count = std::min(kFitLanes, n_blocks - b);
    const float* weights = importance == nullptr ? nullptr : importance + b * kSmallBlock;
    LoadBatch(x + b * kSmallBlock, weights, kSmallBlock, count, batch);
    CodeFit fit;
    SearchFit(batch, format, fit);
    AssignCodes(batch, format, fit.scale, fit.offset, codes.data());
    for (size_t l = 0; l < count; ++l) {
      Block block;
      Pack(codes.data() + l * kSmallBlock, fit.scale[l], fit.offset[l], block);
      std::memcpy(row + (b + l) * sizeof(Block), &block, sizeof(Block));
    }
  }
}

// ---- super-blocks of 256

// Sub-blocks first, first + 1, ... of a batch make up the super-block to pack; codes are its 256.
void PackScalesAndMins(const SuperBlockFit& fit, size_t first, uint8_t* scales) {
  for (size_t j = 0; j < 4; ++j) {
    const auto s = static_cast<uint8_t>(fit.scale_code[first + j]);
    const auto m = static_cast<uint8_t>(fit.min_code[first + j]);
    const auto s4 = static_cast<uint8_t>(fit.scale_code[first + 4 + j]);
    const auto m4 = static_cast<uint8_t>(fit.min_code[first + 4 + j]);
    scales[j] = static_cast<uint8_t>(s | ((s4 >> 4) << 6));
    scales[4 + j] = static_cast<uint8_t>(m | ((m4 >> 4) << 6));
    scales[8 + j] = static_cast<uint8_t>((s4 & 15) | ((m4 & 15) << 4));
  }
}

void PackNibblePairs(const int8_t* codes, uint8_t* qs) {
  for (size_t j = 0; j < 4; ++j) {
    for (size_t l = 0; l < 32; ++l) {
      qs[32 * j + l] =
          static_cast<uint8_t>((codes[64 * j + l] & 15) | ((codes[64 * j + 32 + l] & 15) << 4));
    }
  }
}

void Pack(const int8_t* codes, const SuperBlockFit& fit, size_t first, BlockQ4K& block) {
  block.d = F32ToF16(fit.d[first]);
  block.dmin = F32ToF16(fit.dmin[first]);
  PackScalesAndMins(fit, first, block.scales);
  PackNibblePairs(codes, block.qs);
}

void Pack(const int8_t* codes, const SuperBlockFit& fit, size_t first, BlockQ5K& block) {
  block.d = F32ToF16(fit.d[first]);
  block.dmin = F32ToF16(fit.dmin[first]);
  PackScalesAndMins(fit, first, block.scales);
  std::fill_n(block.qh, 32, uint8_t{0});
  for (size_t i = 0; i < kSuperBlock; ++i) {
    block.qh[i % 32] |= static_cast<uint8_t>((codes[i] >> 4) << (i / 32));
  }
  PackNibblePairs(codes, block.qs);
}

void Pack(const int8_t* codes, const SuperBlockFit& fit, size_t first, BlockQ6K& block) {
  block.d = F32ToF16(fit.d[first]);
  for (size_t s = 0; s < 16; ++s) {
    block.scales[s] = static_cast<int8_t>(fit.scale_code[first + s]);
  }
  for (size_t h = 0; h < 2; ++h) {
    for (size_t l = 0; l < 32; ++l) {
      std::array<uint8_t, 4> q;
      for (size_t j = 0; j < 4; ++j) q[j] = static_cast<uint8_t>(codes[128 * h + 32 * j + l] + 32);
      block.ql[64 * h + l] = static_cast<uint8_t>((q[0] & 15) | ((q[2] & 15) << 4));
      block.ql[64 * h + 32 + l] = static_cast<uint8_t>((q[1] & 15) | ((q[3] & 15) << 4));
      block.qh[32 * h + l] = static_cast<uint8_t>((q[0] >> 4) | ((q[1] >> 4) << 2) |
                                                  ((q[2] >> 4) << 4) | ((q[3] >> 4) << 6));
    }
  }
}

template <typename Block>
void QuantizeSuperBlocks(const SuperBlockFormat& format, const float* x, const float* importance,
                         size_t n_cols, std::byte* row) {
  const size_t n_elements = kSuperBlock / format.n_sub_blocks;
  const size_t n_sub_blocks = n_cols / n_elements;
  FitBatch batch;
  std::array<int8_t, kFitLanes * kMaxFitElements> codes;
  for (size_t s = 0; s < n_sub_blocks; s += kFitLanes) {
    const size_t count = std::min(kFitLanes, n_sub_blocks - s);
    const float* weights = importance == nullptr ? nullptr : importance + s * n_elements;
    LoadBatch(x + s * n_elements, weights, n_elements, count, batch);
    const SuperBlockFit fit = SearchSuperBlocks(batch, format);
    AssignCodes(batch, format.codes, fit.Scale(), fit.Offset(), codes.data());
    for (size_t l = 0; l < count; l += format.n_sub_blocks) {
      Block block;
      Pack(codes.data() + l * n_elements, fit, l, block);
      std::memcpy(row, &block, sizeof(Block));
      row += sizeof(Block);
    }
  }
}

constexpr SuperBlockFormat AffineSuperBlock(float max_code) {
  return {.codes = {.low = 0, .high = max_code, .offset = CodeFormat::Offset::kNotPositive},
          .n_sub_blocks = 8,
          .low_scale_code = 0,
          .high_scale_code = 63,
          .max_min_code = 63};
}

constexpr SuperBlockFormat kQ6KFormat = {.codes = {.low = -32, .high = 31},
                                         .n_sub_blocks = 16,
                                         .low_scale_code = -128,
                                         .high_scale_code = 127,
                                         .max_min_code = 0};

template <uint16_t (*kConvert)(float)>
void ConvertRow(const float* x, size_t n_cols, std::byte* row) {
  for (size_t i = 0; i < n_cols; ++i) {
    const uint16_t bits = kConvert(x[i]);
    std::memcpy(row + i * sizeof(bits), &bits, sizeof(bits));
  }
}

}  // namespace

std::span<const GgmlType> QuantizableTypes() { return kTypes; }

bool IsQuantizable(GgmlType type) { return std::ranges::find(kTypes, type) != kTypes.end(); }

float LargestMagnitude(GgmlType type) {
  switch (type) {
    case GgmlType::kF32:
      return std::numeric_limits<float>::max();
    case GgmlType::kBF16:
      return Bf16ToF32(0x7F7F);
    case GgmlType::kF16:
    case GgmlType::kQ4_1:  // of its offset
    case GgmlType::kQ5_1:
      return kF16Max;
    case GgmlType::kQ8_0:
      return 127 * kF16Max;
    case GgmlType::kQ4_0:
      return 7 * kF16Max;
    case GgmlType::kQ5_0:
      return 15 * kF16Max;
    case GgmlType::kQ4_K:  // of its mins, as of Q5_K's
    case GgmlType::kQ5_K:
      return 63 * kF16Max;
    case GgmlType::kQ6_K:
      return 127 * 31 * kF16Max;
    default:
      return 0;
  }
}

void QuantizeRow(GgmlType type, const float* x, const float* importance, size_t n_cols,
                 std::byte* row) {
  QUERN_DCHECK(n_cols % TraitsOf(type).block_elements == 0);
  switch (type) {
    case GgmlType::kF32:
      std::memcpy(row, x, n_cols * sizeof(float));
      return;
    case GgmlType::kF16:
      return ConvertRow<SaturatedHalf>(x, n_cols, row);
    case GgmlType::kBF16:
      return ConvertRow<F32ToBf16>(x, n_cols, row);
    case GgmlType::kQ8_0:
      return QuantizeSmallBlocks<BlockQ8_0>(Scaled(-127, 127), x, importance, n_cols, row);
    case GgmlType::kQ4_0:
      return QuantizeSmallBlocks<BlockQ4_0>(Scaled(-8, 7), x, importance, n_cols, row);
    case GgmlType::kQ4_1:
      return QuantizeSmallBlocks<BlockQ4_1>(Affine(15), x, importance, n_cols, row);
    case GgmlType::kQ5_0:
      return QuantizeSmallBlocks<BlockQ5_0>(Scaled(-16, 15), x, importance, n_cols, row);
    case GgmlType::kQ5_1:
      return QuantizeSmallBlocks<BlockQ5_1>(Affine(31), x, importance, n_cols, row);
    case GgmlType::kQ4_K:
      return QuantizeSuperBlocks<BlockQ4K>(AffineSuperBlock(15), x, importance, n_cols, row);
    case GgmlType::kQ5_K:
      return QuantizeSuperBlocks<BlockQ5K>(AffineSuperBlock(31), x, importance, n_cols, row);
    case GgmlType::kQ6_K:
      return QuantizeSuperBlocks<BlockQ6K>(kQ6KFormat, x, importance, n_cols, row);
    default:
      QUERN_DCHECK(false);
  }
}

}  // namespace quern
