#include "kernels/matmul.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <memory>
#include <random>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "kernels/activations.h"
#include "kernels/blocks.h"
#include "kernels/half.h"
#include "kernels/reference.h"
#include "kernels/targets.h"
#include "tests/kernels/on_targets.h"

namespace quern {
namespace {

constexpr double kUnit = 0x1p-24;  // half a float's last place, relative

/// Where a type's blocks keep half floats, and how far a weight's minimum may be from zero.
struct BlockFacts {
  std::vector<size_t> halves;  ///< byte offsets
  size_t min_offset = 0;       ///< of the half that scales the minimum
  double min_factor = 0;       ///< its largest integer factor; 0 if the type has no minimum
};

BlockFacts FactsOf(GgmlType type) {
  switch (type) {
    case GgmlType::kQ4_0:
    case GgmlType::kQ5_0:
    case GgmlType::kQ8_0:
    case GgmlType::kIQ4_NL:
    case GgmlType::kIQ4_XS:
    case GgmlType::kF16:
    case GgmlType::kBF16:
      return {.halves = {0}};
    case GgmlType::kQ4_1:
    case GgmlType::kQ5_1:
      return {.halves = {0, 2}, .min_offset = 2, .min_factor = 1};
    case GgmlType::kQ2_K:
      return {.halves = {offsetof(BlockQ2K, d), offsetof(BlockQ2K, dmin)},
              .min_offset = offsetof(BlockQ2K, dmin),
              .min_factor = 15};
    case GgmlType::kQ3_K:
      return {.halves = {offsetof(BlockQ3K, d)}};
    case GgmlType::kQ4_K:
    case GgmlType::kQ5_K:
      return {.halves = {0, 2}, .min_offset = 2, .min_factor = 63};
    case GgmlType::kQ6_K:
      return {.halves = {offsetof(BlockQ6K, d)}};
    default:
      return {};
  }
}

/// 64-byte aligned bytes.
class Bytes {
 public:
  explicit Bytes(size_t n) : size_(n), storage_(n + 64) {}
  std::byte* data() {
    const auto address = reinterpret_cast<uintptr_t>(storage_.data());
    return storage_.data() + (64 - address % 64) % 64;
  }
  size_t size() const { return size_; }

 private:
  size_t size_;
  std::vector<std::byte> storage_;
};

/// Random GGUF rows: any bits, but half floats finite, and of either sign; their magnitude is near
/// 2^-8, or anything from the smallest subnormal to 65504 if `extreme`.
std::vector<std::byte> RandomRows(GgmlType type, size_t n_rows, size_t n_cols, bool extreme,
                                  std::mt19937& random) {
  const size_t block_bytes = TraitsOf(type).block_bytes;
  std::vector<std::byte> rows(n_rows * RowBytes(type, n_cols));
  if (type == GgmlType::kF32) {
    std::normal_distribution<float> normal;
    for (size_t i = 0; i < rows.size(); i += 4) {
      const float value = normal(random);
      std::memcpy(&rows[i], &value, sizeof(value));
    }
    return rows;
  }
  for (std::byte& byte : rows) byte = static_cast<std::byte>(random());
  const BlockFacts facts = FactsOf(type);
  for (size_t block = 0; block < rows.size(); block += block_bytes) {
    for (const size_t offset : facts.halves) {
      uint16_t bits = static_cast<uint16_t>(random() & 0xFFFF);
      if (extreme) {
        if ((bits & 0x7C00) == 0x7C00) bits ^= 0x4000;
      } else if (type == GgmlType::kBF16) {
        bits = static_cast<uint16_t>((bits & 0x80FF) | 0x3C00);
      } else {
        bits = static_cast<uint16_t>((bits & 0x87FF) | 0x1800);
      }
      std::memcpy(&rows[block + offset], &bits, sizeof(bits));
    }
  }
  return rows;
}

/// Copies the half floats of `from` (of F32, all of it) into `rows`, which so become finite.
void KeepHalves(GgmlType type, const std::vector<std::byte>& from, std::vector<std::byte>& rows) {
  if (type == GgmlType::kF32) rows = from;
  const BlockFacts facts = FactsOf(type);
  for (size_t block = 0; block < rows.size(); block += TraitsOf(type).block_bytes) {
    for (const size_t offset : facts.halves) {
      std::memcpy(&rows[block + offset], &from[block + offset], sizeof(uint16_t));
    }
  }
}

/// A weight matrix in both forms, activations in both forms, and what their product should be.
struct Problem {
  /// From GGUF rows, and activations of [tokens][cols].
  Problem(GgmlType weight_type, size_t rows, size_t cols, std::vector<std::byte> gguf_rows,
          std::vector<float> activations)
      : type(weight_type),
        n_rows(rows),
        n_cols(cols),
        n_tokens(activations.size() / cols),
        kind(ActivationKindOf(weight_type)),
        x_stride(ActivationRowBytes(kind, cols)),
        raw(std::move(gguf_rows)),
        weights(n_rows * n_cols),
        floats(std::move(activations)),
        packed((rows + kRowGroup - 1) / kRowGroup * PackedGroupBytes(weight_type, cols)),
        x(n_tokens * x_stride) {
    const size_t row_bytes = RowBytes(type, n_cols);
    for (size_t row = 0; row < n_rows; ++row) {
      DequantizeRow(type, raw.data() + row * row_bytes, n_cols, weights.data() + row * n_cols);
    }
    for (size_t row = 0; row < n_rows; row += kRowGroup) {
      PackGroup(type, n_cols, std::min(kRowGroup, n_rows - row), raw.data() + row * row_bytes,
                packed.data() + row / kRowGroup * PackedGroupBytes(type, n_cols));
    }
    for (size_t t = 0; t < n_tokens; ++t) {
      PrepareActivations(kind, floats.data() + t * n_cols, n_cols, x.data() + t * x_stride);
    }
  }

  static Problem Random(GgmlType type, size_t n_rows, size_t n_cols, size_t n_tokens,
                        unsigned seed) {
    std::mt19937 random(seed);
    std::vector<float> floats = RandomFloats(n_tokens * n_cols, seed + 1);
    floats[0] = 40.0F;  // an outlier, as activations have
    return {type, n_rows, n_cols, RandomRows(type, n_rows, n_cols, false, random),
            std::move(floats)};
  }

  double Activation(size_t token, size_t col) {
    if (kind == ActivationKind::kF32) return floats[token * n_cols + col];
    const auto& block = reinterpret_cast<const ActivationBlock*>(
        x.data() + token * x_stride)[col / kActivationBlock];
    return static_cast<double>(block.scale) * block.q[col % kActivationBlock];
  }

  /// The largest distance of any weight's minimum from zero.
  double LargestMin() const {
    const BlockFacts facts = FactsOf(type);
    double largest = 0;
    if (facts.min_factor == 0) return 0;
    for (size_t block = 0; block < raw.size(); block += TraitsOf(type).block_bytes) {
      uint16_t bits = 0;
      std::memcpy(&bits, &raw[block + facts.min_offset], sizeof(bits));
      largest = std::max(largest, std::abs(static_cast<double>(F16ToF32(bits))));
    }
    return largest * facts.min_factor;
  }

  MatMulArgs Args(std::vector<float>& out) {
    return {.w = {.type = type, .n_rows = n_rows, .n_cols = n_cols, .data = packed.data()},
            .group_begin = 0,
            .group_end = (n_rows + kRowGroup - 1) / kRowGroup,
            .x = x.data(),
            .x_stride = x_stride,
            .n_tokens = n_tokens,
            .out = out.data(),
            .out_stride = n_rows,
            .accumulate = false};
  }

  std::vector<float> Product() {
    std::vector<float> out(n_tokens * n_rows, NAN);
    MatMul(Args(out));
    return out;
  }

  GgmlType type;
  size_t n_rows;
  size_t n_cols;
  size_t n_tokens;
  ActivationKind kind;
  size_t x_stride;
  std::vector<std::byte> raw;  ///< GGUF rows
  std::vector<float> weights;
  std::vector<float> floats;
  Bytes packed;
  Bytes x;
};

std::vector<size_t> ColumnCounts(GgmlType type) {
  const size_t block = TraitsOf(type).block_elements;
  if (block == 1) return {1, 31, 128, 129, 300};
  if (block == kSmallBlock) return {32, 96, 224, 256, 288, 8 * 32 + 7 * 32};
  return {256, 512, 768, 2048};
}

constexpr size_t kRowCounts[] = {1, 15, 16, 17, 33};
constexpr size_t kTokenCounts[] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 12, 15, 16, 17, 64};

using TypeAndTarget = std::tuple<GgmlType, std::string>;

class MatMulTest : public testing::TestWithParam<TypeAndTarget> {
 protected:
  void SetUp() override { ASSERT_TRUE(ForceTarget(std::get<1>(GetParam())).has_value()); }
  void TearDown() override { ChooseBestTarget(); }
  static GgmlType type() { return std::get<0>(GetParam()); }
};

TEST_P(MatMulTest, PackedRowsDequantizeAsTheReference) {
  std::mt19937 random(1);
  for (const bool extreme : {false, true}) {
    for (const size_t n_cols : ColumnCounts(type())) {
      for (const size_t n_rows : {size_t{1}, size_t{7}, kRowGroup}) {
        const auto rows = RandomRows(type(), n_rows, n_cols, extreme, random);
        Bytes packed(PackedGroupBytes(type(), n_cols));
        PackGroup(type(), n_cols, n_rows, rows.data(), packed.data());
        std::vector<float> expected(n_cols);
        std::vector<float> actual(n_cols);
        for (size_t row = 0; row < kRowGroup; ++row) {
          std::fill(expected.begin(), expected.end(), 0.0F);
          if (row < n_rows) {
            DequantizeRow(type(), rows.data() + row * RowBytes(type(), n_cols), n_cols,
                          expected.data());
          }
          DequantizeRow(
              {.type = type(), .n_rows = kRowGroup, .n_cols = n_cols, .data = packed.data()}, row,
              actual.data());
          ASSERT_EQ(actual, expected)
              << "row " << row << " of " << n_rows << ", " << n_cols << " columns";
          if (row >= n_rows) continue;
          DequantizeRow({.type = type(),
                         .layout = WeightLayout::kRows,
                         .n_rows = n_rows,
                         .n_cols = n_cols,
                         .data = rows.data()},
                        row, actual.data());
          ASSERT_EQ(actual, expected) << "in place, row " << row << " of " << n_rows;
        }
      }
    }
  }
}

/// Expects the product within rounding of the exact one.
/// With u = 2^-24 and s steps of 32 columns (or s columns of floats), a sum takes at most three
/// additions a step, each rounding a partial sum that is below S = sum of |scale q| |x| + |min|
/// |x|; a step's own product rounds at most four times more. Without FMA each operation rounds
/// twice. So the error is below 2 (3 s + 4) u S (1 + small). A minimum is known only by its bound
/// M, and |scale q| <= |w| + M.
void ExpectProduct(Problem& p) {
  const auto out = p.Product();
  const double min = p.LargestMin();
  const double steps =
      static_cast<double>(p.kind == ActivationKind::kQ8 ? p.n_cols / kActivationBlock : p.n_cols);
  for (size_t t = 0; t < p.n_tokens; ++t) {
    for (size_t row = 0; row < p.n_rows; ++row) {
      double expected = 0;
      double magnitude = 0;
      double unquantized = 0;
      double quantization = 0;
      for (size_t col = 0; col < p.n_cols; ++col) {
        const double w = p.weights[row * p.n_cols + col];
        const double x = p.Activation(t, col);
        const double exact_x = p.floats[t * p.n_cols + col];
        expected += w * x;
        unquantized += w * exact_x;
        magnitude += (std::abs(w) + 2 * min) * std::abs(x);
        quantization += std::abs(w) * std::abs(exact_x - x);
      }
      const double tolerance = 2.01 * (3 * steps + 4) * kUnit * magnitude;
      const double actual = out[t * p.n_rows + row];
      ASSERT_NEAR(actual, expected, tolerance) << t << " " << row << " " << p.n_cols;
      ASSERT_NEAR(actual, unquantized, tolerance + quantization * (1 + 1e-9));
    }
  }
}

TEST_P(MatMulTest, IsTheProductWithinRounding) {
  for (const size_t n_cols : ColumnCounts(type())) {
    Problem p = Problem::Random(type(), 33, n_cols, 64, static_cast<unsigned>(n_cols));
    ASSERT_NO_FATAL_FAILURE(ExpectProduct(p));
  }
}

// Sums of integers that fit their registers on average must fit them at the ends too: weight codes
// and scales at both ends of their range, activations at theirs, signs alike and alternating.
TEST_P(MatMulTest, ExtremeCodesDoNotOverflow) {
  const size_t n_cols = TraitsOf(type()).block_elements == 1 ? 300 : 768;
  const size_t n_rows = kRowGroup + 1;
  std::mt19937 random(1);
  const std::vector<std::byte> finite = RandomRows(type(), n_rows, n_cols, false, random);
  std::vector<float> x;
  for (const float sign : {1.0F, -1.0F}) {
    x.insert(x.end(), n_cols, sign);
    for (size_t col = 0; col < n_cols; ++col) x.push_back(col % 2 == 0 ? sign : -sign);
  }
  for (const unsigned fill : {0xFFU, 0x7FU, 0x80U, 0x00U}) {
    std::vector<std::byte> rows(finite.size(), static_cast<std::byte>(fill));
    KeepHalves(type(), finite, rows);
    Problem p(type(), n_rows, n_cols, std::move(rows), x);
    ASSERT_NO_FATAL_FAILURE(ExpectProduct(p)) << fill;
    // Enough tokens for the path of many, which must agree.
    std::vector<float> many;
    for (int i = 0; i < 8; ++i) many.insert(many.end(), x.begin(), x.end());
    Problem batch(type(), n_rows, n_cols, p.raw, many);
    ASSERT_NO_FATAL_FAILURE(ExpectProduct(batch)) << fill;
  }
}

TEST_P(MatMulTest, EveryShapeGivesTheBitsOfTheTokenAlone) {
  for (const size_t n_cols : ColumnCounts(type())) {
    for (const size_t n_rows : kRowCounts) {
      Problem p = Problem::Random(type(), n_rows, n_cols, 64, 7);
      std::vector<float> alone(p.n_tokens * n_rows, NAN);
      for (size_t t = 0; t < p.n_tokens; ++t) {
        MatMulArgs args = p.Args(alone);
        args.x += t * p.x_stride;
        args.out += t * n_rows;
        args.n_tokens = 1;
        for (size_t group = 0; group < args.w.n_groups(); ++group) {
          args.group_begin = group;
          args.group_end = group + 1;
          MatMul(args);
        }
      }
      for (const size_t n_tokens : kTokenCounts) {
        p.n_tokens = n_tokens;
        const std::vector<float> expected(alone.begin(),
                                          alone.begin() + static_cast<long>(n_tokens * n_rows));
        ASSERT_TRUE(SameBits(p.Product(), expected))
            << n_rows << " rows, " << n_cols << " columns, " << n_tokens << " tokens";
      }
    }
  }
}

// Rows end where their memory ends, so that the sanitizers see a read beyond.
TEST_P(MatMulTest, RowsInPlaceGiveTheSameBits) {
  for (const size_t n_cols : ColumnCounts(type())) {
    for (const size_t n_rows : kRowCounts) {
      Problem p = Problem::Random(type(), n_rows, n_cols, 64, 13);
      for (const size_t n_tokens : {size_t{1}, size_t{4}, size_t{9}, size_t{64}}) {
        p.n_tokens = n_tokens;
        std::vector<float> out(n_tokens * n_rows, NAN);
        MatMulArgs args = p.Args(out);
        args.w.layout = WeightLayout::kRows;
        args.w.data = p.raw.data();
        MatMul(args);
        ASSERT_TRUE(SameBits(out, p.Product()))
            << n_rows << " rows, " << n_cols << " columns, " << n_tokens << " tokens";
      }
    }
  }
}

TEST_P(MatMulTest, TokensBeyondOneBlockGiveTheSameBits) {
  const size_t n_cols = TraitsOf(type()).block_elements == 1 ? 40 : 256;
  Problem p = Problem::Random(type(), 16, n_cols, 300, 3);
  const auto all = p.Product();
  std::vector<float> alone(p.n_tokens * p.n_rows);
  for (size_t t = 0; t < p.n_tokens; ++t) {
    MatMulArgs args = p.Args(alone);
    args.x += t * p.x_stride;
    args.out += t * p.n_rows;
    args.n_tokens = 1;
    MatMul(args);
  }
  EXPECT_TRUE(SameBits(all, alone));
}

TEST_P(MatMulTest, WritesItsRowsOnlyAndCanAddToThem) {
  const size_t n_cols = TraitsOf(type()).block_elements == 1 ? 40 : 256;
  for (const size_t n_tokens : {size_t{1}, size_t{3}, size_t{9}}) {
    Problem p = Problem::Random(type(), 37, n_cols, n_tokens, 11);
    const auto product = p.Product();
    constexpr size_t kStride = 50;
    std::vector<float> out(n_tokens * kStride, 1.5F);
    MatMulArgs args = p.Args(out);
    args.out_stride = kStride;
    args.accumulate = true;
    args.group_begin = 1;
    MatMul(args);
    for (size_t t = 0; t < n_tokens; ++t) {
      for (size_t i = 0; i < kStride; ++i) {
        const bool written = i >= kRowGroup && i < p.n_rows;
        ASSERT_EQ(out[t * kStride + i], written ? 1.5F + product[t * p.n_rows + i] : 1.5F)
            << n_tokens << " tokens, " << t << ", " << i;
      }
    }
  }
}

TEST_P(MatMulTest, TakesAFactorForEachToken) {
  const size_t n_cols = TraitsOf(type()).block_elements == 1 ? 40 : 256;
  for (const size_t n_tokens : {size_t{1}, size_t{3}, size_t{9}}) {
    Problem p = Problem::Random(type(), 37, n_cols, n_tokens, 11);
    const auto product = p.Product();
    const std::vector<float> factors = RandomFloats(n_tokens, 12);
    std::vector<float> out(n_tokens * p.n_rows, 1.5F);
    MatMulArgs args = p.Args(out);
    args.factors = factors.data();
    args.accumulate = true;
    MatMul(args);
    for (size_t i = 0; i < out.size(); ++i) {
      ASSERT_EQ(out[i], 1.5F + product[i] * factors[i / p.n_rows]) << n_tokens << " tokens, " << i;
    }
  }
}

// Integer dot products are exact and a row stays in its lane, so what differs between targets is
// whether they fuse multiply and add.
TEST_P(MatMulTest, TargetsThatFuseAgreeBitForBit) {
  const std::string target = std::get<1>(GetParam());
  for (const size_t n_tokens : {size_t{1}, size_t{20}}) {
    Problem p =
        Problem::Random(type(), 33, TraitsOf(type()).block_elements == 1 ? 300 : 768, n_tokens, 5);
    const auto here = p.Product();
    for (const std::string& other : SupportedTargets()) {
      if (HasFma(other) != HasFma(target)) continue;
      ASSERT_TRUE(ForceTarget(other).has_value());
      EXPECT_TRUE(SameBits(p.Product(), here)) << other;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(All, MatMulTest,
                         testing::Combine(testing::ValuesIn(RunnableTypes().begin(),
                                                            RunnableTypes().end()),
                                          testing::ValuesIn(SupportedTargets())),
                         [](const testing::TestParamInfo<TypeAndTarget>& param_info) {
                           return std::string(NameOf(std::get<0>(param_info.param))) + "_" +
                                  std::get<1>(param_info.param);
                         });

class ActivationsTest : public OnTargets {};

TEST_P(ActivationsTest, RoundsToTheNearestAndKeepsSums) {
  constexpr size_t kCols = 96;
  std::vector<float> x = RandomFloats(kCols, 2);
  std::fill_n(x.begin() + 32, 32, 0.0F);
  Bytes row(ActivationRowBytes(ActivationKind::kQ8, kCols));
  PrepareActivations(ActivationKind::kQ8, x.data(), kCols, row.data());
  const auto* blocks = reinterpret_cast<const ActivationBlock*>(row.data());
  for (size_t b = 0; b < kCols / kActivationBlock; ++b) {
    const ActivationBlock& block = blocks[b];
    float largest = 0;
    int sums[2] = {0, 0};
    for (size_t i = 0; i < kActivationBlock; ++i) {
      const float value = x[b * kActivationBlock + i];
      largest = std::max(largest, std::abs(value));
      sums[i / 16] += block.q[i];
      // Half a step, and a rounding of the division and of the product.
      EXPECT_NEAR(block.scale * block.q[i], value, block.scale * (0.5 + 127 * 3 * kUnit));
    }
    EXPECT_FLOAT_EQ(block.scale, largest / 127.0F);
    EXPECT_EQ(block.start[0], -128 * sums[0]);
    EXPECT_EQ(block.start[1], -128 * sums[1]);
    EXPECT_EQ(block.half_sum[0], block.scale * static_cast<float>(sums[0]));
    EXPECT_EQ(block.half_sum[1], block.scale * static_cast<float>(sums[1]));
    EXPECT_EQ(block.sum, block.scale * static_cast<float>(sums[0] + sums[1]));
  }
}

// A product of floats with such an x is not finite either; an answer must not hide it.
TEST_P(ActivationsTest, InfinitiesAndNansMakeNanOfTheirBlockAlone) {
  constexpr size_t kCols = 3 * kActivationBlock;
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  for (const float bad : {NAN, -NAN, kInfinity, -kInfinity}) {
    for (const size_t at : {size_t{32}, size_t{49}, size_t{63}}) {
      std::vector<float> x = RandomFloats(kCols, 3);
      x[at] = bad;
      Bytes row(ActivationRowBytes(ActivationKind::kQ8, kCols));
      PrepareActivations(ActivationKind::kQ8, x.data(), kCols, row.data());
      const auto* blocks = reinterpret_cast<const ActivationBlock*>(row.data());
      EXPECT_TRUE(std::isfinite(blocks[0].scale) && std::isfinite(blocks[2].scale)) << bad;
      EXPECT_TRUE(std::isnan(blocks[1].scale)) << bad;
      EXPECT_TRUE(std::isnan(blocks[1].sum)) << bad;
      for (size_t half = 0; half < 2; ++half) {
        EXPECT_TRUE(std::isnan(blocks[1].half_sum[half])) << bad;
        EXPECT_EQ(blocks[1].start[half], 0) << bad;
      }
      EXPECT_THAT(blocks[1].q, testing::Each(0)) << bad;
    }
  }
}

TEST_P(ActivationsTest, TinyBlocksAreZeros) {
  std::vector<float> x(3 * kActivationBlock);
  for (size_t i = 0; i < x.size(); ++i) {
    constexpr float kSizes[] = {0x1p-149F, 0x1p-126F, 2e-30F};
    x[i] = (i % 2 == 0 ? 1.0F : -0.5F) * kSizes[i / kActivationBlock];
  }
  Bytes row(ActivationRowBytes(ActivationKind::kQ8, x.size()));
  PrepareActivations(ActivationKind::kQ8, x.data(), x.size(), row.data());
  const auto* blocks = reinterpret_cast<const ActivationBlock*>(row.data());
  for (size_t b = 0; b < 2; ++b) {
    EXPECT_EQ(blocks[b].scale, 0);
    EXPECT_EQ(blocks[b].sum, 0);
    EXPECT_THAT(blocks[b].q, testing::Each(0));
  }
  EXPECT_FLOAT_EQ(blocks[2].scale, 2e-30F / 127);
  EXPECT_EQ(blocks[2].q[0], 127);
}

TEST_P(ActivationsTest, ColumnsMakeTheRowThatIsMadeAtOnce) {
  constexpr size_t kCols = 5 * kActivationBlock;
  const std::vector<float> x = RandomFloats(kCols, 4);
  for (const ActivationKind kind : {ActivationKind::kQ8, ActivationKind::kF32}) {
    Bytes row(ActivationRowBytes(kind, kCols));
    Bytes by_columns(row.size());
    PrepareActivations(kind, x.data(), kCols, row.data());
    for (const auto& [first, count] : {std::pair<size_t, size_t>{64, 96}, {0, 32}, {32, 32}}) {
      PrepareActivationColumns(kind, x.data() + first, first, count, by_columns.data());
    }
    EXPECT_EQ(std::memcmp(row.data(), by_columns.data(), row.size()), 0);
  }
}

INSTANTIATE_TEST_SUITE_P(All, ActivationsTest, testing::ValuesIn(SupportedTargets()),
                         TargetTestName);

TEST(MatMulTypesTest, RunsTheseTypes) {
  std::vector<std::string_view> names;
  for (const GgmlType type : RunnableTypes()) names.push_back(NameOf(type));
  EXPECT_THAT(names, testing::UnorderedElementsAre("F32", "F16", "BF16", "Q8_0", "Q4_0", "Q4_1",
                                                   "Q5_0", "Q5_1", "Q2_K", "Q3_K", "Q4_K", "Q5_K",
                                                   "Q6_K", "IQ4_NL", "IQ4_XS"));
}

TEST(MatMulTypesTest, TypesKnowTheirActivationsAndSizes) {
  EXPECT_TRUE(IsRunnable(GgmlType::kQ4_K));
  EXPECT_FALSE(IsRunnable(GgmlType::kIQ1_S));
  EXPECT_EQ(ActivationKindOf(GgmlType::kF16), ActivationKind::kF32);
  EXPECT_EQ(ActivationKindOf(GgmlType::kQ6_K), ActivationKind::kQ8);
  for (const GgmlType type : RunnableTypes()) {
    EXPECT_EQ(PackedGroupBytes(type, 512), 16 * RowBytes(type, 512)) << NameOf(type);
  }
  for (const size_t n_cols : {32, 64, 4096}) {
    EXPECT_EQ(ActivationRowBytes(ActivationKind::kQ8, n_cols) % 64, 0U);
    EXPECT_GE(ActivationRowBytes(ActivationKind::kF32, n_cols), n_cols * sizeof(float));
  }
}

}  // namespace
}  // namespace quern
