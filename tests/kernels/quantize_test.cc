#include "kernels/quantize.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <functional>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "kernels/half.h"
#include "kernels/reference.h"
#include "kernels/targets.h"

namespace quern {
namespace {

using Row = std::vector<float>;

std::vector<std::byte> Quantize(GgmlType type, const Row& x, const float* importance = nullptr) {
  std::vector<std::byte> bytes(RowBytes(type, x.size()));
  QuantizeRow(type, x.data(), importance, x.size(), bytes.data());
  return bytes;
}

Row RoundTrip(GgmlType type, const Row& x, const float* importance = nullptr) {
  Row out(x.size());
  DequantizeRow(type, Quantize(type, x, importance).data(), x.size(), out.data());
  return out;
}

double SquaredError(const Row& a, const Row& b) {
  double sum = 0;
  for (size_t i = 0; i < a.size(); ++i) sum += std::pow(static_cast<double>(a[i]) - b[i], 2);
  return sum;
}

double QuantizationError(GgmlType type, const Row& x) {
  return SquaredError(x, RoundTrip(type, x));
}

Row NormalRow(size_t n, uint32_t seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(0, 0.02F);
  Row x(n);
  std::ranges::generate(x, [&] { return normal(random); });
  return x;
}

struct NamedRow {
  std::string name;
  Row x;
};

std::vector<NamedRow> TestRows(size_t n) {
  std::vector<NamedRow> rows = {{"normal", NormalRow(n, 1)},
                                {"heavy tails", NormalRow(n, 2)},
                                {"constant", Row(n, 0.37F)},
                                {"negative constant", Row(n, -1.3F)},
                                {"one outlier", NormalRow(n, 3)},
                                {"one weight", Row(n, 0.0F)},
                                {"all positive", NormalRow(n, 4)},
                                {"two values", Row(n, -0.25F)},
                                {"ramp", Row(n)},
                                {"large", NormalRow(n, 5)},
                                {"small", NormalRow(n, 6)}};
  for (float& x : rows[1].x) x = x * x * x * 1e4F;
  rows[4].x[n / 2 + 3] = 5;
  rows[5].x[n - 1] = -0.7F;
  for (float& x : rows[6].x) x = 1 + x;
  for (size_t i = 0; i < n; i += 3) rows[7].x[i] = 0.75F;
  for (size_t i = 0; i < n; ++i) rows[8].x[i] = static_cast<float>(i) / 100 - 1;
  for (float& x : rows[9].x) x *= 1e5F;
  for (float& x : rows[10].x) x *= 1e-4F;
  return rows;
}

// ---- plain rounding: each block's scale straight from its extremes

float Half(float value) { return F16ToF32(F32ToF16(value)); }

float RoundClamped(float value, float low, float high) {
  return std::clamp(std::nearbyint(value), low, high);
}

float Quotient(float a, float b) { return b == 0 ? 0 : a / b; }

float LargestBySize(const float* x, size_t n) {
  return *std::max_element(x, x + n, [](float a, float b) { return std::abs(a) < std::abs(b); });
}

// w = d q, the largest weight at code `anchor`.
void PlainScaled(Row& x, float anchor, float low, float high) {
  for (size_t b = 0; b < x.size(); b += 32) {
    const float d = Half(LargestBySize(&x[b], 32) / anchor);
    for (size_t i = b; i < b + 32; ++i) x[i] = d * RoundClamped(Quotient(x[i], d), low, high);
  }
}

// w = d q + m, from the smallest to the largest weight.
void PlainAffine(Row& x, float high) {
  for (size_t b = 0; b < x.size(); b += 32) {
    const auto [min, max] = std::minmax_element(&x[b], &x[b] + 32);
    const float d = Half((*max - *min) / high);
    const float m = Half(*min);
    for (size_t i = b; i < b + 32; ++i) x[i] = d * RoundClamped(Quotient(x[i] - m, d), 0, high) + m;
  }
}

// w = d sc q - dmin m in super-blocks of 8 sub-blocks of 32.
void PlainAffineSuperBlock(Row& x, float high) {
  for (size_t b = 0; b < x.size(); b += 256) {
    std::array<float, 8> scales;
    std::array<float, 8> mins;
    for (size_t s = 0; s < 8; ++s) {
      const auto [min, max] = std::minmax_element(&x[b + 32 * s], &x[b + 32 * s] + 32);
      mins[s] = -std::min(*min, 0.0F);
      scales[s] = (std::max(*max, 0.0F) + mins[s]) / high;
    }
    const float d = Half(*std::ranges::max_element(scales) / 63);
    const float dmin = Half(*std::ranges::max_element(mins) / 63);
    for (size_t i = b; i < b + 256; ++i) {
      const size_t s = (i - b) / 32;
      const float scale = d * RoundClamped(Quotient(scales[s], d), 0, 63);
      const float min = dmin * RoundClamped(Quotient(mins[s], dmin), 0, 63);
      x[i] = scale * RoundClamped(Quotient(x[i] + min, scale), 0, high) - min;
    }
  }
}

// w = d sc q in super-blocks of 16 sub-blocks of 16.
void PlainScaledSuperBlock(Row& x) {
  for (size_t b = 0; b < x.size(); b += 256) {
    std::array<float, 16> scales;
    for (size_t s = 0; s < 16; ++s) scales[s] = LargestBySize(&x[b + 16 * s], 16) / -32;
    const float d = Half(LargestBySize(scales.data(), 16) / -128);
    for (size_t i = b; i < b + 256; ++i) {
      const float scale = d * RoundClamped(Quotient(scales[(i - b) / 16], d), -128, 127);
      x[i] = scale * RoundClamped(Quotient(x[i], scale), -32, 31);
    }
  }
}

struct QuantizedType {
  GgmlType type;
  std::function<void(Row&)> round_plainly;
};

std::vector<QuantizedType> QuantizedTypes() {
  return {{GgmlType::kQ8_0, [](Row& x) { PlainScaled(x, 127, -127, 127); }},
          {GgmlType::kQ4_0, [](Row& x) { PlainScaled(x, -8, -8, 7); }},
          {GgmlType::kQ5_0, [](Row& x) { PlainScaled(x, -16, -16, 15); }},
          {GgmlType::kQ4_1, [](Row& x) { PlainAffine(x, 15); }},
          {GgmlType::kQ5_1, [](Row& x) { PlainAffine(x, 31); }},
          {GgmlType::kQ4_K, [](Row& x) { PlainAffineSuperBlock(x, 15); }},
          {GgmlType::kQ5_K, [](Row& x) { PlainAffineSuperBlock(x, 31); }},
          {GgmlType::kQ6_K, PlainScaledSuperBlock}};
}

TEST(QuantizeTest, NeverWorseThanPlainRounding) {
  for (const QuantizedType& quantized : QuantizedTypes()) {
    for (const NamedRow& row : TestRows(1536)) {
      Row plain = row.x;
      quantized.round_plainly(plain);
      // Sums in another order may differ in their last bits.
      EXPECT_LE(QuantizationError(quantized.type, row.x),
                SquaredError(row.x, plain) * (1 + 1e-5) + 1e-30)
          << NameOf(quantized.type) << ", " << row.name;
    }
  }
}

// Ratio to plain rounding on normal weights, over 16k weights, which the search must not lose
// again. Measured 0.77 to 0.94 as squared errors.
TEST(QuantizeTest, SearchGainsOnNormalWeights) {
  const Row x = NormalRow(16384, 7);
  for (const QuantizedType& quantized : QuantizedTypes()) {
    Row plain = x;
    quantized.round_plainly(plain);
    EXPECT_LT(QuantizationError(quantized.type, x), 0.95 * SquaredError(x, plain))
        << NameOf(quantized.type);
  }
}

// The search is at least as good as a scale that spreads the codes over the range R of the weights,
// in steps of R / codes: rounding then errs by half a step, and by one where the range's far end is
// clipped.
TEST(QuantizeTest, ErrorBound) {
  const Row x = NormalRow(4096, 8);
  const auto [min, max] = std::ranges::minmax(x);
  const double range = static_cast<double>(max) - min;
  const double largest = std::max<double>(max, -min);
  const auto rms = [&](GgmlType type) { return std::sqrt(QuantizationError(type, x) / 4096); };
  constexpr double kHalfRounding = 1 + 0x1p-10;  // of the scale
  EXPECT_LT(rms(GgmlType::kF16), largest * 0x1p-11);
  EXPECT_LT(rms(GgmlType::kBF16), largest * 0x1p-8);
  EXPECT_LT(rms(GgmlType::kQ8_0), largest / 127 / 2 * kHalfRounding);
  EXPECT_LT(rms(GgmlType::kQ4_0), largest / 8 * kHalfRounding);
  EXPECT_LT(rms(GgmlType::kQ5_0), largest / 16 * kHalfRounding);
  EXPECT_LT(rms(GgmlType::kQ4_1), range / 15 / 2 * kHalfRounding);
  EXPECT_LT(rms(GgmlType::kQ5_1), range / 31 / 2 * kHalfRounding);
  // Scales and mins are rounded to a 63rd of the largest, signed ones to a 128th.
  EXPECT_LT(rms(GgmlType::kQ4_K), (range / 15 / 2 + largest / 63) * kHalfRounding);
  EXPECT_LT(rms(GgmlType::kQ5_K), (range / 31 / 2 + largest / 63) * kHalfRounding);
  EXPECT_LT(rms(GgmlType::kQ6_K), largest / 32 * (1 + 1.0 / 128) * kHalfRounding);
}

TEST(QuantizeTest, MoreBitsLessError) {
  for (const NamedRow& row : TestRows(2048)) {
    if (row.name.find("normal") == std::string::npos && row.name != "heavy tails") continue;
    const double q8 = QuantizationError(GgmlType::kQ8_0, row.x);
    const double q6 = QuantizationError(GgmlType::kQ6_K, row.x);
    const double q5 = QuantizationError(GgmlType::kQ5_K, row.x);
    const double q4 = QuantizationError(GgmlType::kQ4_K, row.x);
    EXPECT_LT(QuantizationError(GgmlType::kF16, row.x), q8) << row.name;
    EXPECT_LT(q8, q6) << row.name;
    EXPECT_LT(q6, q5) << row.name;
    EXPECT_LT(q5, q4) << row.name;
    EXPECT_LT(q4, QuantizationError(GgmlType::kQ4_0, row.x)) << row.name;
  }
}

TEST(QuantizeTest, FloatTypesRoundToNearest) {
  const Row x = {1.0F, -2.5F, 0.1F, 65504.0F, 1e-8F, 0.0F, 1.0F + 0x1p-12F};
  EXPECT_EQ(RoundTrip(GgmlType::kF32, x), x);
  const Row half = RoundTrip(GgmlType::kF16, x);
  const Row bfloat = RoundTrip(GgmlType::kBF16, x);
  for (size_t i = 0; i < x.size(); ++i) {
    EXPECT_EQ(half[i], F16ToF32(F32ToF16(x[i])));
    EXPECT_EQ(bfloat[i], Bf16ToF32(F32ToBf16(x[i])));
  }
  EXPECT_EQ(RoundTrip(GgmlType::kF16, {1e6F}), Row{kF16Max});  // clipped, not infinite
}

// Weights that a format can hold exactly come back exactly: all codes occur and the scale is a
// power of two.
TEST(QuantizeTest, ExactWeightsStayExact) {
  const auto codes = [](float low, float high, float scale, float offset) {
    Row x(512);
    for (size_t i = 0; i < x.size(); ++i) {
      x[i] = scale * (low + std::fmod(static_cast<float>(i), high - low + 1)) + offset;
    }
    return x;
  };
  const Row q4_0 = codes(-8, 7, 0.125F, 0);
  EXPECT_EQ(RoundTrip(GgmlType::kQ4_0, q4_0), q4_0);
  const Row q5_0 = codes(-16, 15, 0.125F, 0);
  EXPECT_EQ(RoundTrip(GgmlType::kQ5_0, q5_0), q5_0);
  const Row q4_1 = codes(0, 15, 0.5F, -3.25F);
  EXPECT_EQ(RoundTrip(GgmlType::kQ4_1, q4_1), q4_1);
  const Row q5_1 = codes(0, 31, 0.5F, 17);
  EXPECT_EQ(RoundTrip(GgmlType::kQ5_1, q5_1), q5_1);
  Row q8_0 = codes(-120, 100, 0.25F, 0);
  for (size_t i = 0; i < q8_0.size(); i += 32) q8_0[i] = 127 * 0.25F;
  EXPECT_EQ(RoundTrip(GgmlType::kQ8_0, q8_0), q8_0);
}

TEST(QuantizeTest, ZerosStayZeros) {
  for (const GgmlType type : QuantizableTypes()) {
    const Row zeros(512, 0.0F);
    EXPECT_EQ(RoundTrip(type, zeros), zeros) << NameOf(type);
  }
}

// A constant is within the rounding of the scale, or of the product of two scales in the K types.
TEST(QuantizeTest, ConstantsKeepTheirValue) {
  for (const GgmlType type : QuantizableTypes()) {
    for (const float value : {0.37F, -1.3F, 100.0F, -0.001F}) {
      for (const float out : RoundTrip(type, Row(256, value))) {
        EXPECT_NEAR(out, value, std::abs(value) * 0x1p-8F) << NameOf(type) << " " << value;
      }
    }
  }
}

// Scales below the smallest half would be rounded to zero, and the weights with them.
TEST(QuantizeTest, TinyWeightsAreNotWipedOut) {
  for (const QuantizedType& quantized : QuantizedTypes()) {
    Row x = NormalRow(512, 9);
    for (float& w : x) w *= 0x1p-14F;  // about 2^-20; the smallest half is 2^-24
    const double energy = SquaredError(x, Row(512, 0.0F));
    EXPECT_LT(QuantizationError(quantized.type, x), 0.2 * energy) << NameOf(quantized.type);
  }
}

TEST(QuantizeTest, VanishingWeightsGiveFiniteValues) {
  for (const QuantizedType& quantized : QuantizedTypes()) {
    for (const float tiny : {1e-20F, 1e-38F, 1e-45F}) {
      Row x = NormalRow(512, 10);
      for (float& w : x) w *= tiny;
      for (const float out : RoundTrip(quantized.type, x)) {
        EXPECT_LE(std::abs(out), 0x1p-24F) << NameOf(quantized.type) << " " << tiny;
      }
    }
  }
}

TEST(QuantizeTest, LargestMagnitudeIsHeld) {
  for (const GgmlType type : QuantizableTypes()) {
    const float largest = LargestMagnitude(type);
    for (const float sign : {1.0F, -1.0F}) {
      Row x(512);
      for (size_t i = 0; i < x.size(); ++i) {
        x[i] = sign * largest * (i % 2 == 0 ? 1.0F : -0.5F);
      }
      const Row out = RoundTrip(type, x);
      for (size_t i = 0; i < x.size(); ++i) {
        EXPECT_NEAR(out[i] / largest, x[i] / largest, 0.1) << NameOf(type);
      }
    }
  }
}

TEST(QuantizeTest, ImportanceGuardsItsColumns) {
  const Row x = NormalRow(512, 11);
  Row importance(512, 1.0F);
  const auto important = [](size_t i) { return i % 8 == 5; };
  for (size_t i = 0; i < 512; ++i) {
    if (important(i)) importance[i] = 1000;
  }
  const auto error = [&](const Row& out) {
    double sum = 0;
    for (size_t i = 0; i < 512; ++i) {
      if (important(i)) sum += std::pow(static_cast<double>(out[i]) - x[i], 2);
    }
    return sum;
  };
  for (const QuantizedType& quantized : QuantizedTypes()) {
    EXPECT_LT(error(RoundTrip(quantized.type, x, importance.data())),
              0.8 * error(RoundTrip(quantized.type, x)))
        << NameOf(quantized.type);
    // Columns that never matter may take any finite value.
    const Row none(512, 0.0F);
    for (const float out : RoundTrip(quantized.type, x, none.data())) {
      EXPECT_TRUE(std::isfinite(out)) << NameOf(quantized.type);
    }
  }
}

TEST(QuantizeTest, EqualImportanceIsNoImportance) {
  const Row x = NormalRow(512, 12);
  const Row ones(512, 1.0F);
  for (const QuantizedType& quantized : QuantizedTypes()) {
    EXPECT_EQ(Quantize(quantized.type, x), Quantize(quantized.type, x, ones.data()));
  }
}

// Blocks do not depend on their neighbours: the search takes 16 sub-blocks at a time, whatever the
// row.
TEST(QuantizeTest, BlocksAreIndependent) {
  for (const QuantizedType& quantized : QuantizedTypes()) {
    const size_t n = TraitsOf(quantized.type).block_elements;
    const Row x = NormalRow(19 * n, 13);
    std::vector<std::byte> blocks;
    for (size_t b = 0; b < 19; ++b) {
      const auto first = x.begin() + static_cast<std::ptrdiff_t>(b * n);
      const std::vector<std::byte> block =
          Quantize(quantized.type, Row(first, first + static_cast<std::ptrdiff_t>(n)));
      blocks.insert(blocks.end(), block.begin(), block.end());
    }
    EXPECT_EQ(Quantize(quantized.type, x), blocks) << NameOf(quantized.type);
  }
}

TEST(QuantizeTest, SameBytesOnEveryTarget) {
  const Row x = NormalRow(1024, 14);
  for (const QuantizedType& quantized : QuantizedTypes()) {
    const std::vector<std::byte> expected = Quantize(quantized.type, x);
    for (const std::string& target : SupportedTargets()) {
      ASSERT_TRUE(ForceTarget(target));
      EXPECT_EQ(Quantize(quantized.type, x), expected) << NameOf(quantized.type) << " " << target;
    }
    ChooseBestTarget();
  }
}

TEST(QuantizeTest, QuantizableTypes) {
  EXPECT_TRUE(IsQuantizable(GgmlType::kQ4_K));
  EXPECT_FALSE(IsQuantizable(GgmlType::kQ2_K));
  EXPECT_FALSE(IsQuantizable(GgmlType::kIQ4_XS));
  for (const GgmlType type : QuantizableTypes()) {
    EXPECT_TRUE(IsQuantizable(type));
    EXPECT_TRUE(IsDequantizable(type));
    EXPECT_GT(LargestMagnitude(type), 0);
  }
}

}  // namespace
}  // namespace quern
