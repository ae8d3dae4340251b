#include "kernels/ops.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "tests/kernels/on_targets.h"

namespace quern {
namespace {

constexpr double kHalfUlp = 0x1p-24;  // relative rounding error of one float operation

// Around every vector width, and the sizes of real models. Vectors have exactly these sizes, so an
// access beyond the end shows under AddressSanitizer.
constexpr size_t kSizes[] = {1, 2, 3, 7, 8, 15, 16, 17, 31, 32, 33, 63, 100, 129, 4096, 14336};

std::vector<float> RmsNorm(const std::vector<float>& x, const std::vector<float>& w, float eps) {
  std::vector<double> sums((x.size() + kSquaresBlock - 1) / kSquaresBlock);
  SumSquares(x.data(), x.size(), sums.data());
  std::vector<float> out(x.size());
  Weigh(x.data(), w.data(), RmsFactor(sums.data(), x.size(), eps), x.size(), out.data());
  return out;
}

class OpsTest : public OnTargets {};
INSTANTIATE_TEST_SUITE_P(, OpsTest, testing::ValuesIn(SupportedTargets()), TargetTestName);

TEST_P(OpsTest, RmsNorm) {
  for (const size_t n : kSizes) {
    for (const float deviation : {1e-4F, 1.0F, 1e15F}) {
      const std::vector<float> x = RandomFloats(n, 1, deviation);
      const std::vector<float> w = RandomFloats(n, 2);
      const float eps = 1e-5F;
      double sum = 0;
      for (const float v : x) sum += static_cast<double>(v) * v;
      const double inverse = 1 / std::sqrt(sum / static_cast<double>(n) + eps);
      const std::vector<float> out = RmsNorm(x, w, eps);
      for (size_t i = 0; i < n; ++i) {
        const double expected = x[i] * inverse * w[i];
        // Roundings: the factor, two products; the sums are in double.
        ASSERT_NEAR(out[i], expected, 3.01 * kHalfUlp * std::abs(expected)) << n << " " << i;
      }
    }
  }
}

TEST_P(OpsTest, RmsNormOfZerosIsZero) {
  const std::vector<float> zeros(100, 0.0F);
  EXPECT_EQ(RmsNorm(zeros, std::vector<float>(100, 1.0F), 1e-6F), zeros);
}

// Whoever has some blocks of a row alone gets what the whole row gives.
TEST_P(OpsTest, BlocksOfSquaresStandAlone) {
  const size_t n = 100;
  const std::vector<float> x = RandomFloats(n, 1, 1e15F);
  std::vector<double> sums(4);
  SumSquares(x.data(), n, sums.data());
  for (size_t block = 0; block < 4; ++block) {
    const size_t first = block * kSquaresBlock;
    double alone = 0;
    SumSquares(x.data() + first, std::min(kSquaresBlock, n - first), &alone);
    EXPECT_EQ(alone, sums[block]) << block;
  }
}

TEST_P(OpsTest, WeighsInPlace) {
  for (const size_t n : kSizes) {
    const std::vector<float> x = RandomFloats(n, 1);
    const std::vector<float> w = RandomFloats(n, 2);
    std::vector<float> out = x;
    Weigh(out.data(), w.data(), 0.3F, n, out.data());
    for (size_t i = 0; i < n; ++i) ASSERT_EQ(out[i], x[i] * w[i] * 0.3F) << n << " " << i;
  }
}

TEST_P(OpsTest, Rope) {
  for (const RopeStyle style : {RopeStyle::kAdjacent, RopeStyle::kHalves}) {
    for (const auto& [head_dim, n_rot] : std::vector<std::pair<size_t, size_t>>{
             {2, 2}, {6, 4}, {64, 64}, {80, 80}, {96, 32}, {100, 98}, {128, 128}, {256, 64}}) {
      const size_t n_head = 3;
      const size_t n_pairs = n_rot / 2;
      std::vector<float> cos(n_pairs);
      std::vector<float> sin(n_pairs);
      for (size_t i = 0; i < n_pairs; ++i) {
        const double angle = 1234 * std::pow(10000.0, -2.0 * i / n_rot);
        cos[i] = static_cast<float>(std::cos(angle));
        sin[i] = static_cast<float>(std::sin(angle));
      }
      const std::vector<float> x = RandomFloats(n_head * head_dim, 3);
      std::vector<float> y = x;
      Rope(style, cos.data(), sin.data(), n_head, head_dim, n_rot, y.data());
      for (size_t head = 0; head < n_head; ++head) {
        const size_t begin = head * head_dim;
        for (size_t i = 0; i < n_pairs; ++i) {
          const bool adjacent = style == RopeStyle::kAdjacent;
          const size_t ia = begin + (adjacent ? 2 * i : i);
          const size_t ib = begin + (adjacent ? 2 * i + 1 : i + n_pairs);
          const double a = x[ia];
          const double b = x[ib];
          // Roundings: two products and their sum, which the products bound.
          const double tolerance_a = 2 * kHalfUlp * (std::abs(a * cos[i]) + std::abs(b * sin[i]));
          const double tolerance_b = 2 * kHalfUlp * (std::abs(b * cos[i]) + std::abs(a * sin[i]));
          ASSERT_NEAR(y[ia], a * cos[i] - b * sin[i], tolerance_a) << head_dim << " " << i;
          ASSERT_NEAR(y[ib], b * cos[i] + a * sin[i], tolerance_b) << head_dim << " " << i;
        }
        for (size_t i = n_rot; i < head_dim; ++i) ASSERT_EQ(y[begin + i], x[begin + i]);
      }
    }
  }
}

TEST_P(OpsTest, SwiGlu) {
  for (const size_t n : kSizes) {
    const std::vector<float> gate = RandomFloats(n, 4, 30);
    const std::vector<float> up = RandomFloats(n, 5);
    std::vector<float> out(n);
    SwiGlu(gate.data(), up.data(), n, out.data());
    for (size_t i = 0; i < n; ++i) {
      const double g = gate[i];
      const double expected = g / (1 + std::exp(-g)) * up[i];
      // Roundings: exp (2 ulp = 4 halves), sum, quotient, product. Under -88.7, exp(-g) is infinite
      // and the result 0 instead of at most 89 e^-88.7 = 3e-37.
      ASSERT_NEAR(out[i], expected, 7 * kHalfUlp * std::abs(expected) + 3e-37 * std::abs(up[i]))
          << n << " " << gate[i];
    }
    std::vector<float> in_gate = gate;
    SwiGlu(in_gate.data(), up.data(), n, in_gate.data());
    ASSERT_TRUE(SameBits(out, in_gate));
    std::vector<float> in_up = up;
    SwiGlu(gate.data(), in_up.data(), n, in_up.data());
    ASSERT_TRUE(SameBits(out, in_up));
  }
}

TEST_P(OpsTest, SwiGluOfLargeGates) {
  const std::vector<float> gate{200, 1e30F, -200, -1e30F, 0};
  const std::vector<float> up{2, 2, 2, 2, 2};
  std::vector<float> out(5);
  SwiGlu(gate.data(), up.data(), 5, out.data());
  EXPECT_EQ(out, (std::vector<float>{400, 2e30F, 0, 0, 0}));
}

// Elementwise operations and fixed virtual lanes: a machine with AVX2 repeats the bits of one with
// AVX-512.
TEST(OpsAcrossTargetsTest, FusedTargetsGiveTheSameBits) {
  const auto run = [](size_t n) {
    std::vector<float> x = RandomFloats(n, 10, 3);
    const std::vector<float> y = RandomFloats(n, 11);
    SwiGlu(x.data(), y.data(), n, x.data());
    Rope(RopeStyle::kAdjacent, y.data(), y.data() + n / 2, 1, n, n / 2 * 2, x.data());
    Rope(RopeStyle::kHalves, y.data(), y.data() + n / 2, 1, n, n / 2 * 2, x.data());
    return RmsNorm(x, y, 1e-5F);
  };
  for (const size_t n : kSizes) {
    std::vector<float> first;
    for (const std::string& target : FmaTargets()) {
      ASSERT_TRUE(ForceTarget(target).has_value());
      const std::vector<float> result = run(n);
      if (first.empty()) first = result;
      EXPECT_TRUE(SameBits(first, result)) << target << " " << n;
    }
  }
  ChooseBestTarget();
}

// The squares of RmsNorm are exact in double, fused or not, and the rest are single operations.
TEST(OpsAcrossTargetsTest, RmsNormIsTheSameOnAllTargets) {
  for (const size_t n : kSizes) {
    const std::vector<float> x = RandomFloats(n, 12);
    std::vector<float> first;
    for (const std::string& target : SupportedTargets()) {
      ASSERT_TRUE(ForceTarget(target).has_value());
      const std::vector<float> out = RmsNorm(x, x, 1e-5F);
      if (first.empty()) first = out;
      EXPECT_TRUE(SameBits(first, out)) << target << " " << n;
    }
  }
  ChooseBestTarget();
}

}  // namespace
}  // namespace quern
