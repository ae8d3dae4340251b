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

/// Sums run in this many virtual lanes whatever the vector width, so that all targets add in one
/// order. 8 doubles are four 128-bit registers.
constexpr size_t kSumLanes = 8;
static_assert(kSquaresBlock % kSumLanes == 0);

/// The sum of n doubles, a multiple of kSumLanes, of which `load(d, i)` gives those from i on:
/// kSumLanes sums, each over the i with one i % kSumLanes, added in a fixed tree.
template <class Load>
HWY_INLINE double SumInLanes(size_t n, const Load& load) {
  const hn::CappedTag<double, kSumLanes> d;
  const size_t lanes = hn::Lanes(d);
  std::array<double, kSumLanes> sums;
  for (size_t lane = 0; lane < kSumLanes; lane += lanes) {
    auto sum = hn::Zero(d);
    for (size_t i = 0; i < n; i += kSumLanes) sum = hn::Add(sum, load(d, i + lane));
    hn::StoreU(sum, d, sums.data() + lane);
  }
  for (size_t half = kSumLanes / 2; half > 0; half /= 2) {
    for (size_t i = 0; i < half; ++i) sums[i] += sums[i + half];
  }
  return sums[0];
}

/// Squares of floats are exact in double.
HWY_INLINE double SumBlock(const float* x) {
  return SumInLanes(kSquaresBlock, [x](auto d, size_t i) HWY_ATTR {
    const hn::Rebind<float, decltype(d)> df;
    const auto v = hn::PromoteTo(d, hn::LoadU(df, x + i));
    return hn::Mul(v, v);
  });
}

void SumSquares(const float* x, size_t n, double* sums) {
  for (; n >= kSquaresBlock; n -= kSquaresBlock, x += kSquaresBlock) *sums++ = SumBlock(x);
  if (n == 0) return;
  std::array<float, kSquaresBlock> tail = {};
  std::copy_n(x, n, tail.begin());
  *sums = SumBlock(tail.data());
}

float RmsFactor(const double* sums, size_t n, float eps) {
  const size_t n_blocks = (n + kSquaresBlock - 1) / kSquaresBlock;
  const size_t n_whole = n_blocks - n_blocks % kSumLanes;
  double sum =
      SumInLanes(n_whole, [sums](auto d, size_t i) HWY_ATTR { return hn::LoadU(d, sums + i); });
  for (size_t i = n_whole; i < n_blocks; ++i) sum += sums[i];
  const double mean = sum / static_cast<double>(n);
  return static_cast<float>(1 / std::sqrt(mean + static_cast<double>(eps)));
}

void Weigh(const float* x, const float* w, float factor, size_t n, float* out) {
  const auto factors = hn::Set(hn::ScalableTag<float>(), factor);
  Map(
      n, out, [=](auto v, auto weight) HWY_ATTR { return hn::Mul(hn::Mul(v, weight), factors); }, x,
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

HWY_EXPORT(SumSquares);
HWY_EXPORT(RmsFactor);
HWY_EXPORT(Weigh);
HWY_EXPORT(Rope);
HWY_EXPORT(SwiGlu);

}  // namespace

void SumSquares(const float* x, size_t n, double* sums) {
  HWY_DYNAMIC_DISPATCH(SumSquares)(x, n, sums);
}

float RmsFactor(const double* sums, size_t n, float eps) {
  return HWY_DYNAMIC_DISPATCH(RmsFactor)(sums, n, eps);
}

void Weigh(const float* x, const float* w, float factor, size_t n, float* out) {
  HWY_DYNAMIC_DISPATCH(Weigh)(x, w, factor, n, out);
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
