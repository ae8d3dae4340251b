#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/code_fit.cc"
#include "kernels/code_fit.h"

#include "hwy/foreach_target.h"  // IWYU pragma: keep
#include "hwy/highway.h"
#include "kernels/half.h"

HWY_BEFORE_NAMESPACE();
namespace quern::HWY_NAMESPACE {
namespace {

namespace hn = hwy::HWY_NAMESPACE;

using D = hn::CappedTag<float, kFitLanes>;
using V = hn::Vec<D>;
using Offset = CodeFormat::Offset;

// FitMoments of the sub-blocks of one vector.
struct Moments {
  V rr;
  V r;
  V q;
  V qr;
  V qq;
};

// Multiplications and additions stay separate: fused ones would round differently from targets that
// lack them.
HWY_INLINE Moments Evaluate(const FitBatch& batch, const CodeFormat& format, size_t lane, V scale,
                            V offset) {
  const D d;
  const V low = hn::Set(d, format.low);
  const V high = hn::Set(d, format.high);
  const auto is_zero = hn::Lt(hn::Abs(scale), hn::Set(d, kSmallestFitScale));
  const V inverse = hn::IfThenZeroElse(is_zero, hn::Div(hn::Set(d, 1.0F), scale));
  Moments m = {hn::Zero(d), hn::Zero(d), hn::Zero(d), hn::Zero(d), hn::Zero(d)};
  for (size_t i = 0; i < batch.n; ++i) {
    const V x = hn::Sub(hn::Load(d, &batch.x[i * kFitLanes + lane]), offset);
    const V w = hn::Load(d, &batch.importance[i * kFitLanes + lane]);
    const V q = hn::Round(hn::Clamp(hn::Mul(x, inverse), low, high));
    const V r = hn::Sub(x, hn::Mul(scale, q));
    const V wr = hn::Mul(w, r);
    const V wq = hn::Mul(w, q);
    m.rr = hn::Add(m.rr, hn::Mul(wr, r));
    m.r = hn::Add(m.r, wr);
    m.q = hn::Add(m.q, wq);
    m.qr = hn::Add(m.qr, hn::Mul(wr, q));
    m.qq = hn::Add(m.qq, hn::Mul(wq, q));
  }
  return m;
}

// The value in half precision, ties aside, clipped to the finite ones.
HWY_INLINE V RoundToHalf(V value) {
  const D d;
  const V limit = hn::Set(d, kF16Max);
  const V x = hn::Clamp(value, hn::Neg(limit), limit);
  // Splits off the 13 low bits of the mantissa (T. J. Dekker, 1971); below 2^-14 halves are
  // multiples of 2^-24.
  const V multiple = hn::Mul(x, hn::Set(d, 8193.0F));
  const V normal = hn::Sub(multiple, hn::Sub(multiple, x));
  const V shift = hn::Set(d, 0.75F);
  const V subnormal = hn::Sub(hn::Add(x, shift), shift);
  return hn::IfThenElse(hn::Lt(hn::Abs(x), hn::Set(d, 0x1p-14F)), subnormal, normal);
}

// As RoundToHalf, but only 0 becomes 0: with the smallest scale, small codes still come near the
// weights.
HWY_INLINE V RoundScaleToHalf(V scale) {
  const D d;
  const V half = RoundToHalf(scale);
  const auto vanished = hn::Lt(hn::Abs(half), hn::Set(d, 0x1p-24F));
  const V smallest = hn::CopySign(hn::Set(d, 0x1p-24F), scale);
  const auto is_zero = hn::Eq(scale, hn::Zero(d));
  return hn::IfThenElse(vanished, hn::IfThenZeroElse(is_zero, smallest), half);
}

// a / b, or 0 where b is not positive.
HWY_INLINE V DivideOrZero(V a, V b) {
  return hn::IfThenElseZero(hn::Gt(b, hn::Zero(D())), hn::Div(a, b));
}

// Moves scale and offset to the least-squares solution for the codes of `m`, within what the format
// allows.
HWY_INLINE void SolveLeastSquares(Offset kind, V weight, const Moments& m, V& scale, V& offset) {
  const D d;
  if (kind == Offset::kNone) {
    scale = hn::Add(scale, DivideOrZero(m.qr, m.qq));
    return;
  }
  // With all codes equal, only the offset is determined.
  const V product = hn::Mul(weight, m.qq);
  const V determinant = hn::Sub(product, hn::Mul(m.q, m.q));
  const auto solvable = hn::Gt(determinant, hn::Mul(hn::Set(d, 1e-4F), product));
  const V scale_step = hn::Div(hn::Sub(hn::Mul(weight, m.qr), hn::Mul(m.q, m.r)), determinant);
  const V offset_step = hn::Div(hn::Sub(hn::Mul(m.qq, m.r), hn::Mul(m.q, m.qr)), determinant);
  V new_scale = hn::Add(scale, hn::IfThenElseZero(solvable, scale_step));
  V new_offset = hn::Add(offset, hn::IfThenElse(solvable, offset_step, DivideOrZero(m.r, weight)));
  if (kind == Offset::kNotPositive) {
    // Without an offset, the residuals are larger by the old one.
    const auto too_high = hn::Gt(new_offset, hn::Zero(d));
    const V qr = hn::Add(m.qr, hn::Mul(offset, m.q));
    new_scale = hn::IfThenElse(too_high, hn::Add(scale, DivideOrZero(qr, m.qq)), new_scale);
    new_offset = hn::IfThenZeroElse(too_high, new_offset);
  }
  scale = new_scale;
  offset = new_offset;
}

// The largest and smallest weight of each sub-block.
struct Extremes {
  V low;
  V high;
};

HWY_INLINE Extremes FindExtremes(const FitBatch& batch, size_t lane) {
  const D d;
  Extremes e = {hn::Load(d, &batch.x[lane]), hn::Load(d, &batch.x[lane])};
  for (size_t i = 1; i < batch.n; ++i) {
    const V x = hn::Load(d, &batch.x[i * kFitLanes + lane]);
    e.low = hn::Min(e.low, x);
    e.high = hn::Max(e.high, x);
  }
  return e;
}

// Starts spread the codes over the range of the weights as if there were some codes less or more.
// More of them clip the ends and resolve the middle better, which pays for the bell shape of most
// weights. Each gives two starts.
constexpr float kExtraCodes[] = {0.0F, -1.0F, -0.5F, 0.5F, 1.0F, 1.5F, 2.0F, 2.5F, 3.0F};

// With these and 3 refinements the error is within 0.5% of what three times the starts and five
// refinements reach.
constexpr int kRefinements = 3;

HWY_INLINE void Start(const CodeFormat& format, const Extremes& e, float extra, bool second,
                      V& scale, V& offset) {
  const D d;
  const V zero = hn::Zero(d);
  if (format.offset == Offset::kNone) {
    // The weight of largest magnitude gets either end of the codes.
    const V largest = hn::IfThenElse(hn::Gt(hn::Neg(e.low), e.high), e.low, e.high);
    const float code = second ? format.high + extra / 2 : format.low - extra / 2;
    scale = hn::Div(largest, hn::Set(d, code));
    offset = zero;
    return;
  }
  const bool below_zero = format.offset == Offset::kNotPositive;
  const V low = below_zero ? hn::Min(e.low, zero) : e.low;
  const V range = hn::Sub(e.high, low);
  const V span = hn::Set(d, format.high - format.low);
  scale = hn::Div(range, hn::Add(span, hn::Set(d, extra)));
  offset = low;
  if (!second) return;
  // The extra codes are missing at both ends alike rather than at the upper one.
  const V cut = hn::Sub(range, hn::Mul(scale, span));
  offset = hn::Add(offset, hn::Mul(hn::Set(d, 0.5F), cut));
  if (below_zero) offset = hn::Min(offset, zero);
}

void PlainFit(const FitBatch& batch, const CodeFormat& format, CodeFit& fit) {
  const D d;
  for (size_t lane = 0; lane < kFitLanes; lane += hn::Lanes(d)) {
    V scale;
    V offset;
    Start(format, FindExtremes(batch, lane), 0, false, scale, offset);
    hn::Store(scale, d, &fit.scale.value[lane]);
    hn::Store(offset, d, &fit.offset.value[lane]);
    hn::Store(Evaluate(batch, format, lane, scale, offset).rr, d, &fit.error.value[lane]);
  }
}

void SearchFit(const FitBatch& batch, const CodeFormat& format, CodeFit& best) {
  const D d;
  for (size_t lane = 0; lane < kFitLanes; lane += hn::Lanes(d)) {
    const V weight = hn::Load(d, &batch.importance_sum.value[lane]);
    const Extremes extremes = FindExtremes(batch, lane);
    V best_scale = hn::Zero(d);
    V best_offset = hn::Zero(d);
    V best_error = hn::Set(d, hwy::HighestValue<float>());
    for (const float extra : kExtraCodes) {
      for (const bool second : {false, true}) {
        V scale;
        V offset;
        Start(format, extremes, extra, second, scale, offset);
        for (int refined = 0;; ++refined) {
          if (format.half_precision) {
            scale = RoundScaleToHalf(scale);
            offset = RoundToHalf(offset);
          }
          const Moments moments = Evaluate(batch, format, lane, scale, offset);
          const auto better = hn::Lt(moments.rr, best_error);
          best_scale = hn::IfThenElse(better, scale, best_scale);
          best_offset = hn::IfThenElse(better, offset, best_offset);
          best_error = hn::IfThenElse(better, moments.rr, best_error);
          if (refined == kRefinements) break;
          SolveLeastSquares(format.offset, weight, moments, scale, offset);
        }
      }
    }
    hn::Store(best_scale, d, &best.scale.value[lane]);
    hn::Store(best_offset, d, &best.offset.value[lane]);
    hn::Store(best_error, d, &best.error.value[lane]);
  }
}

void EvaluateFit(const FitBatch& batch, const CodeFormat& format, const FitLanes& scale,
                 const FitLanes& offset, FitMoments& moments) {
  const D d;
  for (size_t lane = 0; lane < kFitLanes; lane += hn::Lanes(d)) {
    const Moments m = Evaluate(batch, format, lane, hn::Load(d, &scale.value[lane]),
                               hn::Load(d, &offset.value[lane]));
    hn::Store(m.rr, d, &moments.rr.value[lane]);
    hn::Store(m.r, d, &moments.r.value[lane]);
    hn::Store(m.q, d, &moments.q.value[lane]);
    hn::Store(m.qr, d, &moments.qr.value[lane]);
    hn::Store(m.qq, d, &moments.qq.value[lane]);
  }
}

}  // namespace
}  // namespace quern::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
#include <algorithm>
#include <cmath>

namespace quern {

HWY_EXPORT(PlainFit);
HWY_EXPORT(SearchFit);
HWY_EXPORT(EvaluateFit);

void LoadBatch(const float* x, const float* importance, size_t n, size_t count, FitBatch& batch) {
  batch.n = n;
  for (size_t l = 0; l < kFitLanes; ++l) {
    batch.importance_sum[l] = 0;
    for (size_t i = 0; i < n; ++i) {
      const bool present = l < count;
      const float weight = importance == nullptr || !present ? 1.0F : importance[l * n + i];
      batch.x[i * kFitLanes + l] = present ? x[l * n + i] : 0.0F;
      batch.importance[i * kFitLanes + l] = weight;
      batch.importance_sum[l] += weight;
    }
  }
}

void PlainFit(const FitBatch& batch, const CodeFormat& format, CodeFit& fit) {
  HWY_DYNAMIC_DISPATCH(PlainFit)(batch, format, fit);
}

void SearchFit(const FitBatch& batch, const CodeFormat& format, CodeFit& best) {
  HWY_DYNAMIC_DISPATCH(SearchFit)(batch, format, best);
}

void EvaluateFit(const FitBatch& batch, const CodeFormat& format, const FitLanes& scale,
                 const FitLanes& offset, FitMoments& moments) {
  HWY_DYNAMIC_DISPATCH(EvaluateFit)(batch, format, scale, offset, moments);
}

void AssignCodes(const FitBatch& batch, const CodeFormat& format, const FitLanes& scale,
                 const FitLanes& offset, int8_t* codes) {
  constexpr float kRounder =
      0x1.8p23F;  // adding it leaves no bits below 1: rounds to nearest even, as Round does
  for (size_t lane = 0; lane < kFitLanes; ++lane) {
    const float inverse = std::abs(scale[lane]) < kSmallestFitScale ? 0.0F : 1.0F / scale[lane];
    for (size_t i = 0; i < batch.n; ++i) {
      const float q = (batch.x[i * kFitLanes + lane] - offset[lane]) * inverse;
      const float clamped = std::clamp(q, format.low, format.high);
      codes[lane * batch.n + i] = static_cast<int8_t>((clamped + kRounder) - kRounder);
    }
  }
}

}  // namespace quern
#endif  // HWY_ONCE
