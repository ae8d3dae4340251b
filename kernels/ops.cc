#include "kernels/ops.h"

#include <algorithm>
#include <array>
#include <cmath>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/ops.cc"  // NOLINT(bugprone-suspicious-include)
#include "hwy/foreach_target.h"              // IWYU pragma: keep
// After foreach_target, whose passes each need their own.
#include "hwy/highway.h"
#include "kernels/exp-inl.h"
#include "kernels/map-inl.h"

HWY_BEFORE_NAMESPACE();
namespace quern::HWY_NAMESPACE {
namespace {

/// Sums over floats run in this many virtual lanes whatever the vector width, so that all targets
/// add in one order. 32 doubles are four 512-bit registers: enough chains to hide the latency.
constexpr size_t kSumLanes = 32;

/// The sum of x[i]^2: kSumLanes sums, each over the elements i with one i % kSumLanes, added in a
/// fixed tree. Squares of floats are exact in double, so fused or not is the same.
double SumOfSquares(const float* x, size_t n) {
  const hn::CappedTag<double, kSumLanes / 4> d;
  const hn::Rebind<float, decltype(d)> df;
  const size_t lanes = hn::Lanes(d);
  const auto load = [&](const float* p) HWY_ATTR { return hn::PromoteTo(d, hn::LoadU(df, p)); };

  const size_t n_whole = n - n % kSumLanes;
  std::array<float, kSumLanes> tail = {};
  std::copy(x + n_whole, x + n, tail.begin());

  std::array<double, kSumLanes> sums;
  for (size_t lane = 0; lane < kSumLanes; lane += 4 * lanes) {
    auto sum0 = hn::Zero(d);
    auto sum1 = hn::Zero(d);
    auto sum2 = hn::Zero(d);
    auto sum3 = hn::Zero(d);
    const auto add = [&](const float* p) HWY_ATTR {
      const auto v0 = load(p);
      const auto v1 = load(p + lanes);
      const auto v2 = load(p + 2 * lanes);
      const auto v3 = load(p + 3 * lanes);
      sum0 = hn::MulAdd(v0, v0, sum0);
      sum1 = hn::MulAdd(v1, v1, sum1);
      sum2 = hn::MulAdd(v2, v2, sum2);
      sum3 = hn::MulAdd(v3, v3, sum3);
    };
    for (size_t i = 0; i < n_whole; i += kSumLanes) add(x + i + lane);
    add(tail.data() + lane);
    hn::StoreU(sum0, d, sums.data() + lane);
    hn::StoreU(sum1, d, sums.data() + lane + lanes);
    hn::StoreU(sum2, d, sums.data() + lane + 2 * lanes);
    hn::StoreU(sum3, d, sums.data() + lane + 3 * lanes);
  }
  for (size_t half = kSumLanes / 2; half > 0; half /= 2) {
    for (size_t i = 0; i < half; ++i) sums[i] += sums[i + half];
  }
  return sums[0];
}

void RmsNorm(const float* x, const float* w, size_t n, float eps, float* out) {
  const double mean = SumOfSquares(x, n) / static_cast<double>(n);
  const auto inverse = static_cast<float>(1 / std::sqrt(mean + static_cast<double>(eps)));
  const hn::ScalableTag<float> d;
  const auto factor = hn::Set(d, inverse);
  Map(
      n, out, [=](auto v, auto weight) HWY_ATTR { return hn::Mul(hn::Mul(v, factor), weight); }, x,
      w);
}

/// Turns the pairs i to i + Lanes(d) - 1 of one head; n_pairs is n_rot / 2.
template <class D>
HWY_INLINE void RotatePairs(D d, RopeStyle style, const float* cos, const float* sin, size_t i,
                            size_t n_pairs, float* x) {
  hn::VFromD<D> a;
  hn::VFromD<D> b;
  if (style == RopeStyle::kAdjacent) {
    hn::LoadInterleaved2(d, x + 2 * i, a, b);
  } else {
    a = hn::LoadU(d, x + i);
    b = hn::LoadU(d, x + n_pairs + i);
  }
  const auto c = hn::LoadU(d, cos + i);
  const auto s = hn::LoadU(d, sin + i);
  const auto turned_a = hn::NegMulAdd(b, s, hn::Mul(a, c));
  const auto turned_b = hn::MulAdd(a, s, hn::Mul(b, c));
  if (style == RopeStyle::kAdjacent) {
    hn::StoreInterleaved2(turned_a, turned_b, d, x + 2 * i);
  } else {
    hn::StoreU(turned_a, d, x + i);
    hn::StoreU(turned_b, d, x + n_pairs + i);
  }
}

void Rope(RopeStyle style, const float* cos, const float* sin, size_t n_head, size_t head_dim,
          size_t n_rot, float* x) {
  const hn::ScalableTag<float> d;
  const hn::CappedTag<float, 1> d1;
  const size_t lanes = hn::Lanes(d);
  const size_t n_pairs = n_rot / 2;
  for (size_t head = 0; head < n_head; ++head, x += head_dim) {
    size_t i = 0;
    for (; i + lanes <= n_pairs; i += lanes) RotatePairs(d, style, cos, sin, i, n_pairs, x);
    for (; i < n_pairs; ++i) RotatePairs(d1, style, cos, sin, i, n_pairs, x);
  }
}

void SwiGlu(const float* gate, const float* up, size_t n, float* out) {
  const hn::ScalableTag<float> d;
  Map(
      n, out,
      [d](auto g, auto u)
          HWY_ATTR { return hn::Mul(hn::Div(g, hn::Add(hn::Set(d, 1), Exp(d, hn::Neg(g)))), u); },
      gate, up);
}

}  // namespace
}  // namespace quern::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace quern {
namespace {

HWY_EXPORT(RmsNorm);
HWY_EXPORT(Rope);
HWY_EXPORT(SwiGlu);

}  // namespace

void RmsNorm(const float* x, const float* w, size_t n, float eps, float* out) {
  HWY_DYNAMIC_DISPATCH(RmsNorm)(x, w, n, eps, out);
}

void Rope(RopeStyle style, const float* cos, const float* sin, size_t n_head, size_t head_dim,
          size_t n_rot, float* x) {
  HWY_DYNAMIC_DISPATCH(Rope)(style, cos, sin, n_head, head_dim, n_rot, x);
}

void SwiGlu(const float* gate, const float* up, size_t n, float* out) {
  HWY_DYNAMIC_DISPATCH(SwiGlu)(gate, up, n, out);
}

}  // namespace quern
#endif  // HWY_ONCE
