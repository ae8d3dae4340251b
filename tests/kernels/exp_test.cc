#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

#include "tests/kernels/on_targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "tests/kernels/exp_test.cc"
#include "hwy/foreach_target.h"  // IWYU pragma: keep
// After foreach_target.
#include "hwy/highway.h"
#include "kernels/exp-inl.h"

HWY_BEFORE_NAMESPACE();
namespace quern::HWY_NAMESPACE {
namespace {

void ExpAll(const std::vector<float>& x, std::vector<float>& out) {
  const hn::ScalableTag<float> d;
  for (size_t i = 0; i + hn::Lanes(d) <= x.size(); i += hn::Lanes(d)) {
    hn::StoreU(Exp(d, hn::LoadU(d, x.data() + i)), d, out.data() + i);
  }
}

}  // namespace
}  // namespace quern::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace quern {
namespace {

HWY_EXPORT(ExpAll);

std::vector<float> Exp(const std::vector<float>& x) {
  std::vector<float> y(x.size());
  HWY_DYNAMIC_DISPATCH(ExpAll)(x, y);
  return y;
}

// Every 1021st float of all 2^32: both signs, zeros, subnormals, infinities and NaNs.
std::vector<float> FloatsOfAllKinds() {
  std::vector<float> x;
  for (uint64_t bits = 0; bits < (1ULL << 32); bits += 1021) {
    x.push_back(std::bit_cast<float>(static_cast<uint32_t>(bits)));
  }
  while (x.size() % 16 != 0) x.push_back(0);
  return x;
}

// `n` values spread evenly from `low` to `high`.
std::vector<float> Sweep(float low, float high, size_t n) {
  std::vector<float> x(n);
  for (size_t i = 0; i < n; ++i)
    x[i] = low + (high - low) * (static_cast<float>(i) / static_cast<float>(n - 1));
  return x;
}

class ExpTest : public OnTargets {};
INSTANTIATE_TEST_SUITE_P(, ExpTest, testing::ValuesIn(SupportedTargets()), TargetTestName);

// Largest error in units in the last place of the result, over the x whose exp is normal.
double LargestUlpError(const std::vector<float>& x) {
  const std::vector<float> y = Exp(x);
  double largest = 0;
  for (size_t i = 0; i < x.size(); ++i) {
    const double expected = std::exp(static_cast<double>(x[i]));
    if (std::isnan(x[i])) {
      EXPECT_TRUE(std::isnan(y[i]));
    } else if (expected < 0x1p-126) {
      EXPECT_TRUE(y[i] == 0 || y[i] == 0x1p-126F) << x[i];
    } else if (expected >= 0x1.FFFFFFp127) {  // rounds to infinity
      EXPECT_EQ(y[i], std::numeric_limits<float>::infinity()) << x[i];
    } else {
      const double ulp = std::ldexp(1.0, std::ilogb(expected) - 23);
      largest = std::max(largest, std::abs(y[i] - expected) / ulp);
    }
  }
  return largest;
}

// Bounds: 0.5 for the last addition, at most 0.5 for the rounding of r + r^2 q where |r| < 0.35
// makes it a quarter of that, 0.05 for the polynomial, 2^-24 |r| relative for r. Without fused
// operations each step of q adds a little more.
TEST_P(ExpTest, IsWithinTwoUlpOverTheWholeRange) {
  EXPECT_LE(LargestUlpError(FloatsOfAllKinds()), 2);
}

TEST_P(ExpTest, IsWithinTwoUlpWhereAttentionUsesThem) {
  EXPECT_LE(LargestUlpError(Sweep(-87.5F, 0.0F, 1 << 20)), 2);
}

TEST_P(ExpTest, IsExactAtZeroAndOverTheLimits) {
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  const std::vector<float> x{0,         -0.0F,     -kInfinity, kInfinity, -88, -1e30F, 89, 1e30F,
                             -0x1p-40F, 0x1p-149F, 0,          0,         0,   0,      0,  0};
  const std::vector<float> y{1, 1, 0, kInfinity, 0, 0, kInfinity, kInfinity,
                             1, 1, 1, 1,         1, 1, 1,         1};
  EXPECT_EQ(Exp(x), y);
}

TEST(ExpAcrossTargetsTest, FusedTargetsGiveTheSameBits) {
  const std::vector<float> x = Sweep(-90.0F, 90.0F, 1 << 18);
  std::vector<float> first;
  for (const std::string& target : FmaTargets()) {
    ASSERT_TRUE(ForceTarget(target).has_value());
    const std::vector<float> y = Exp(x);
    if (first.empty()) first = y;
    EXPECT_TRUE(SameBits(first, y)) << target;
  }
  ChooseBestTarget();
}

}  // namespace
}  // namespace quern
#endif  // HWY_ONCE
