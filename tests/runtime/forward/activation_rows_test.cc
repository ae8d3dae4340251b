#include "runtime/forward/activation_rows.h"

#include <gtest/gtest.h>

#include <cstring>
#include <vector>

namespace quern {
namespace {

constexpr size_t kCols = 64;

WeightMatrix OfType(GgmlType type) { return {.type = type, .n_rows = 16, .n_cols = kCols}; }

TEST(ActivationRows, HoldsTheFormsThatItsReadersAskFor) {
  const WeightMatrix quantized = OfType(GgmlType::kQ8_0);
  const WeightMatrix floats = OfType(GgmlType::kF16);
  ActivationRows rows(2, kCols);
  rows.AddReader(quantized);
  EXPECT_EQ(rows.data(floats), nullptr);
  rows.AddReader(floats);
  std::vector<float> x(kCols);
  for (size_t i = 0; i < kCols; ++i) x[i] = static_cast<float>(i) - 20.5F;
  rows.Write(1, x.data() + 32, 32, 32);
  rows.Write(1, x.data(), 0, 32);
  for (const WeightMatrix& w : {quantized, floats}) {
    const ActivationKind kind = ActivationKindOf(w.type);
    ASSERT_EQ(rows.stride(w), ActivationRowBytes(kind, kCols));
    const size_t n_bytes = kind == ActivationKind::kF32 ? kCols * sizeof(float) : kCols / 32 * 56;
    std::vector<std::byte> expected(rows.stride(w));
    PrepareActivations(kind, x.data(), kCols, expected.data());
    EXPECT_EQ(std::memcmp(rows.data(w) + rows.stride(w), expected.data(), n_bytes), 0);
  }
}

TEST(ActivationRows, FloatsMayHaveAnyWidth) {
  WeightMatrix floats = OfType(GgmlType::kF32);
  floats.n_cols = 5;
  ActivationRows rows(1, 5);
  rows.AddReader(floats);
  const std::vector<float> x{1, 2, 3, 4, 5};
  rows.Write(0, x.data(), 0, 5);
  EXPECT_EQ(std::memcmp(rows.data(floats), x.data(), 5 * sizeof(float)), 0);
}

}  // namespace
}  // namespace quern
