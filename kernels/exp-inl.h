// exp of float vectors; compiled once per SIMD target.
#if defined(QUERN_KERNELS_EXP_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef QUERN_KERNELS_EXP_INL_H_
#undef QUERN_KERNELS_EXP_INL_H_
#else
#define QUERN_KERNELS_EXP_INL_H_
#endif

#include <iterator>

#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace quern::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

struct ExpConstants {
  /// Adding 1.5 * 2^23 leaves the nearest integer in the low mantissa bits.
  static constexpr float kRound = 0x1.8p23F;
  static constexpr int kMantissaBits = 23;
  /// ln 2 in two parts; the first has 16 bits, so that its product with |n| <= 128 is exact.
  static constexpr float kLn2High = 0x1.62E4p-1F;
  static constexpr float kLn2Low = 0x1.7F7D1Cp-20F;
  /// exp overflows above the first and falls below the smallest normal number under the second.
  static constexpr float kMax = 0x1.62E42Ep6F;
  static constexpr float kMin = -0x1.5D589Ep6F;
  /// q in exp(r) = 1 + r + r^2 q(r), highest power first: the minimax polynomial of the relative
  /// error (Remez exchange) on |r| <= ln(2)/2; its error is 3.1e-9, 0.05 ulp.
  static constexpr float kPolynomial[] = {0.00138145986466640344F, 0.00836871687972813994F,
                                          0.04166838804531399665F, 0.16666520631709496886F,
                                          0.49999993447796486827F};
};

/// exp of each lane, at most 2 ulp off. Results under the smallest normal number
/// become 0, overflow and +inf give +inf, NaN stays NaN.
/// exp(x) = 2^n exp(r) with n = round(x / ln 2) and r = x - n ln 2 (Cody and Waite's reduction).
template <class D, class V = hn::VFromD<D>>
HWY_INLINE V Exp(D d, V x) {
  const hn::RebindToSigned<D> di;
  const V shifted =
      hn::MulAdd(x, hn::Set(d, 0x1.71547652B82FEp0), hn::Set(d, ExpConstants::kRound));
  const V n = hn::Sub(shifted, hn::Set(d, ExpConstants::kRound));
  V r = hn::NegMulAdd(n, hn::Set(d, ExpConstants::kLn2High), x);
  r = hn::NegMulAdd(n, hn::Set(d, ExpConstants::kLn2Low), r);

  V q = hn::Set(d, ExpConstants::kPolynomial[0]);
  for (size_t i = 1; i < std::size(ExpConstants::kPolynomial); ++i) {
    q = hn::MulAdd(q, r, hn::Set(d, ExpConstants::kPolynomial[i]));
  }
  const V exp_r = hn::Add(hn::MulAdd(hn::Mul(r, r), q, r), hn::Set(d, 1));

  // n is in the low bits of `shifted`; adding it to the exponent multiplies by 2^n. At n = 128,
  // exp(r) < 1, and at n = -126, exp(r) >= 1, so the exponent stays in range.
  const auto exponent = hn::ShiftLeft<ExpConstants::kMantissaBits>(hn::BitCast(di, shifted));
  const V y = hn::BitCast(d, hn::Add(hn::BitCast(di, exp_r), exponent));
  const V or_zero = hn::IfThenZeroElse(hn::Lt(x, hn::Set(d, ExpConstants::kMin)), y);
  // NaN fails the comparison too, and x + inf is NaN then.
  return hn::IfThenElse(hn::Le(x, hn::Set(d, ExpConstants::kMax)), or_zero, hn::Add(x, hn::Inf(d)));
}

}  // namespace quern::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // QUERN_KERNELS_EXP_INL_H_
