#include "tools/quantize/random_blocks.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <optional>

#include "gguf/base/check.h"
#include "kernels/half.h"

namespace quern {
namespace {

// Root mean square of the integers lo to hi, each as likely.
double UniformRms(int lo, int hi) {
  double sum = 0;
  for (int i = lo; i <= hi; ++i) sum += static_cast<double>(i) * i;
  return std::sqrt(sum / (hi - lo + 1));
}

// As UniformRms, about the mean.
double UniformDeviation(int n_values) {
  return std::sqrt((static_cast<double>(n_values) * n_values - 1) / 12);
}

constexpr double kIq4ValuesRms = 67.44;  // of the 16 code points of IQ4_NL and IQ4_XS

// How to turn a block of random bits into a valid one. All else of a block may be any bits.
struct Recipe {
  double unit_rms;                     // of the weights when the block scale is 1
  size_t scale_offset;                 // bytes from the block's start to its float16 scale
  std::optional<size_t> shift_offset;  // to its float16 min, where the type has one
  double shift = 0;                    // min / scale that makes the mean weight 0
};

std::optional<Recipe> RecipeOf(GgmlType type) {
  switch (type) {
    case GgmlType::kQ8_0:
      return Recipe{UniformRms(-127, 127), 0, std::nullopt};
    case GgmlType::kQ4_0:
      return Recipe{UniformRms(-8, 7), 0, std::nullopt};
    case GgmlType::kQ4_1:
      return Recipe{UniformDeviation(16), 0, 2, -7.5};
    case GgmlType::kQ5_0:
      return Recipe{UniformRms(-16, 15), 0, std::nullopt};
    case GgmlType::kQ5_1:
      return Recipe{UniformDeviation(32), 0, 2, -15.5};
    case GgmlType::kQ2_K:
      return Recipe{UniformRms(0, 15) * UniformDeviation(4), 80, 82, 1.5};
    case GgmlType::kQ3_K:
      return Recipe{UniformRms(-32, 31) * UniformRms(-4, 3), 108, std::nullopt};
    case GgmlType::kQ4_K:
      return Recipe{UniformRms(0, 63) * UniformDeviation(16), 0, 2, 7.5};
    case GgmlType::kQ5_K:
      return Recipe{UniformRms(0, 63) * UniformDeviation(32), 0, 2, 15.5};
    case GgmlType::kQ6_K:
      return Recipe{UniformRms(-128, 127) * UniformRms(-32, 31), 208, std::nullopt};
    case GgmlType::kIQ4_NL:
      return Recipe{kIq4ValuesRms, 0, std::nullopt};
    case GgmlType::kIQ4_XS:
      return Recipe{UniformRms(-32, 31) * kIq4ValuesRms, 0, std::nullopt};
    default:
      return std::nullopt;
  }
}

bool IsFloat(GgmlType type) {
  return type == GgmlType::kF32 || type == GgmlType::kF16 || type == GgmlType::kBF16;
}

void StoreU16(uint16_t value, std::byte* out) { std::memcpy(out, &value, sizeof(value)); }

// Mins equal to the scales of their sub-blocks, so that one ratio of dmin to d centers all of them.
void EqualizeMins(GgmlType type, std::byte* block) {
  if (type == GgmlType::kQ4_K || type == GgmlType::kQ5_K) {
    std::byte* scales = block + 4;
    std::memcpy(scales + 4, scales, 4);
    for (size_t i = 8; i < 12; ++i) scales[i] = (scales[i] & std::byte{15}) | (scales[i] << 4);
  } else if (type == GgmlType::kQ2_K) {
    for (size_t i = 0; i < 16; ++i) block[i] = (block[i] & std::byte{15}) | (block[i] << 4);
  }
}

// Uniform floats have this bound for a standard deviation of 1.
const double kUniformBound = std::sqrt(3.0);

void FillFloats(GgmlType type, double sigma, uint64_t seed, uint64_t first,
                std::span<std::byte> out) {
  const size_t bytes = TraitsOf(type).block_bytes;
  const double step = sigma * kUniformBound / static_cast<double>(1 << 23);
  for (size_t i = 0; i < out.size() / bytes; ++i) {
    const auto integer = static_cast<int32_t>(RandomBits(seed, first + i) >> 40) - (1 << 23);
    const auto value = static_cast<float>((integer + 0.5) * step);
    std::byte* at = out.data() + i * bytes;
    if (type == GgmlType::kF32) std::memcpy(at, &value, sizeof(value));
    if (type == GgmlType::kF16) StoreU16(F32ToF16(value), at);
    if (type == GgmlType::kBF16) StoreU16(F32ToBf16(value), at);
  }
}

}  // namespace

uint64_t RandomBits(uint64_t seed, uint64_t counter) {
  uint64_t z = seed + (counter + 1) * 0x9E3779B97F4A7C15U;
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9U;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBU;
  return z ^ (z >> 31);
}

bool CanFillRandomBlocks(GgmlType type) { return IsFloat(type) || RecipeOf(type).has_value(); }

void FillRandomBlocks(GgmlType type, double sigma, uint64_t seed, uint64_t first_block,
                      std::span<std::byte> blocks) {
  if (IsFloat(type)) {
    FillFloats(type, sigma, seed, first_block, blocks);
    return;
  }
  QUERN_DCHECK(CanFillRandomBlocks(type));
  const Recipe recipe = *RecipeOf(type);
  const size_t block_bytes = TraitsOf(type).block_bytes;
  const size_t words = (block_bytes + 7) / 8;
  const uint16_t scale = F32ToF16(static_cast<float>(sigma / recipe.unit_rms));
  const uint16_t shift = F32ToF16(static_cast<float>(F16ToF32(scale) * recipe.shift));
  for (size_t i = 0; i < blocks.size() / block_bytes; ++i) {
    std::byte* block = blocks.data() + i * block_bytes;
    for (size_t w = 0; w < words; ++w) {
      const uint64_t bits = RandomBits(seed, (first_block + i) * words + w);
      std::memcpy(block + 8 * w, &bits, std::min<size_t>(8, block_bytes - 8 * w));
    }
    EqualizeMins(type, block);
    if (type == GgmlType::kQ8_0) {
      for (size_t b = 2; b < block_bytes; ++b) {
        if (block[b] == std::byte{0x80}) block[b] = std::byte{0};  // quantizers never write -128
      }
    }
    // Codes of an even number of values are off center by half a step: a random sign removes it.
    const bool negative = !recipe.shift_offset && (RandomBits(~seed, first_block + i) & 1U) != 0;
    StoreU16(static_cast<uint16_t>(negative ? scale ^ 0x8000U : scale),
             block + recipe.scale_offset);
    if (recipe.shift_offset) StoreU16(shift, block + *recipe.shift_offset);
  }
}

}  // namespace quern
