#include "kernels/ops.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <iterator>
#include <limits>

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

/// Folds x into kSumLanes sums, sums[i % kSumLanes] = f(double(x[i]), sums[i % kSumLanes]), and
/// adds those in a fixed tree. The last block is filled up with `padding`, which f must add as 0.
template <class F>
HWY_INLINE double SumInDouble(const float* x, size_t n, float padding, const F& f) {
  const hn::CappedTag<double, kSumLanes / 4> d;
  const hn::Rebind<float, decltype(d)> df;
  const size_t lanes = hn::Lanes(d);
  const auto load = [&](const float* p) HWY_ATTR { return hn::PromoteTo(d, hn::LoadU(df, p)); };

  const size_t n_whole = n - n % kSumLanes;
  std::array<float, kSumLanes> tail;
  tail.fill(padding);
  std::copy(x + n_whole, x + n, tail.begin());

  std::array<double, kSumLanes> sums;
  for (size_t lane = 0; lane < kSumLanes; lane += 4 * lanes) {
    auto sum0 = hn::Zero(d);
    auto sum1 = hn::Zero(d);
    auto sum2 = hn::Zero(d);
    auto sum3 = hn::Zero(d);
    const auto add = [&](const float* p) HWY_ATTR {
      sum0 = f(load(p), sum0);
      sum1 = f(load(p + lanes), sum1);
      sum2 = f(load(p + 2 * lanes), sum2);
      sum3 = f(load(p + 3 * lanes), sum3);
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

/// The largest value, -inf if there is none. NaNs are passed over.
float MaxValue(const float* x, size_t n) {
  const hn::ScalableTag<float> d;
  const size_t lanes = hn::Lanes(d);
  auto max = hn::Set(d, -std::numeric_limits<float>::infinity());
  size_t i = 0;
  for (; i + lanes <= n; i += lanes) {
    const auto v = hn::LoadU(d, x + i);
    max = hn::IfThenElse(hn::Gt(v, max), v, max);  // a comparison with NaN is false
  }
  // Not ReduceMax: EMU128's starts from the lowest finite value.
  HWY_ALIGN float lane_max[hn::MaxLanes(d)];
  hn::Store(max, d, lane_max);
  float result = *std::max_element(lane_max, lane_max + lanes);
  for (; i < n; ++i) {
    if (x[i] > result) result = x[i];
  }
  return result;
}

void RmsNorm(const float* x, const float* w, size_t n, float eps, float* out) {
  // Squares of floats are exact in double, so fused or not is the same.
  const double sum =
      SumInDouble(x, n, 0, [](auto v, auto total) HWY_ATTR { return hn::MulAdd(v, v, total); });
  const double mean = sum / static_cast<double>(n);
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

void AddInPlace(const float* y, size_t n, float* x) {
  Map(
      n, x, [](auto a, auto b) HWY_ATTR { return hn::Add(a, b); }, x, y);
}

void Scale(float factor, size_t n, float* x) {
  const hn::ScalableTag<float> d;
  const auto f = hn::Set(d, factor);
  Map(
      n, x, [f](auto v) HWY_ATTR { return hn::Mul(v, f); }, x);
}

double LogSumExp(const float* x, size_t n) {
  const float max = MaxValue(x, n);
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  if (max == kInfinity) return kInfinity;  // else exp(inf - inf)
  // When all are -inf (or NaN), any other origin keeps exp(x - origin) = 0 (or NaN).
  const double origin = max == -kInfinity ? 0 : static_cast<double>(max);
  const double sum = SumInDouble(x, n, -kInfinity, [origin](auto v, auto total) HWY_ATTR {
    const hn::DFromV<decltype(v)> d;
    return hn::Add(total, Exp(d, hn::Sub(v, hn::Set(d, origin))));
  });
  return origin + std::log(sum);
}

size_t ArgMax(const float* x, size_t n) {
  const float max = MaxValue(x, n);
  const hn::ScalableTag<float> d;
  const size_t lanes = hn::Lanes(d);
  const auto wanted = hn::Set(d, max);
  size_t i = 0;
  for (; i + lanes <= n; i += lanes) {
    const intptr_t lane = hn::FindFirstTrue(d, hn::Eq(hn::LoadU(d, x + i), wanted));
    if (lane >= 0) return i + static_cast<size_t>(lane);
  }
  for (; i < n; ++i) {
    if (x[i] == max) return i;
  }
  return 0;
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
HWY_EXPORT(AddInPlace);
HWY_EXPORT(Scale);
HWY_EXPORT(LogSumExp);
HWY_EXPORT(ArgMax);

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

void AddInPlace(const float* y, size_t n, float* x) { HWY_DYNAMIC_DISPATCH(AddInPlace)(y, n, x); }

void Scale(float factor, size_t n, float* x) { HWY_DYNAMIC_DISPATCH(Scale)(factor, n, x); }

double LogSumExp(const float* x, size_t n) { return HWY_DYNAMIC_DISPATCH(LogSumExp)(x, n); }

size_t ArgMax(const float* x, size_t n) { return HWY_DYNAMIC_DISPATCH(ArgMax)(x, n); }

}  // namespace quern
#endif  // HWY_ONCE
