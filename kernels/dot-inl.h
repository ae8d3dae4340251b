// Exact dot products of unsigned weight bytes and signed activation bytes, on every target.
#if defined(QUERN_KERNELS_DOT_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef QUERN_KERNELS_DOT_INL_H_
#undef QUERN_KERNELS_DOT_INL_H_
#else
#define QUERN_KERNELS_DOT_INL_H_
#endif

#include "kernels/simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace quern::HWY_NAMESPACE {

// K groups (four columns) of a step of kActivationBlock columns.
inline constexpr size_t kStepGroups = 8;

// Whether the target has a 4-way byte dot product of its own, and with which operand types.
#undef QUERN_DOT_U8_I8
#undef QUERN_DOT_I8_I8
#if HWY_TARGET == HWY_AVX3_DL || HWY_TARGET == HWY_AVX3_ZEN4
#define QUERN_DOT_U8_I8 1
#else
#define QUERN_DOT_U8_I8 0
#endif
#if HWY_TARGET_IS_NEON
#define QUERN_DOT_I8_I8 1
#else
#define QUERN_DOT_I8_I8 0
#endif

// Whether an instruction gives bytes the signs of others.
#undef QUERN_DOT_SIGNS
#if HWY_TARGET == HWY_AVX2 || HWY_TARGET == HWY_SSE4
#define QUERN_DOT_SIGNS 1
#else
#define QUERN_DOT_SIGNS 0
#endif

/// The sum over kGroups K groups of w * x per row, for weights up to kMaxWeight (|x| up to 127).
/// Add takes the group's number, counted from 0, so that the pairwise form knows where it stands.
template <int kMaxWeight, size_t kGroups>
class DotSum {
 public:
  HWY_INLINE DotSum() : total_(hn::Zero(DI32())) {}
  HWY_INLINE explicit DotSum(VI32 start) : total_(start) {}

#if QUERN_DOT_U8_I8
  HWY_INLINE void Add(size_t /*group*/, VU8 w, VI32 x) {
    total_ = hn::SumOfMulQuadAccumulate(DI32(), w, hn::BitCast(DI8(), x), total_);
  }
  HWY_INLINE VI32 Finish() const { return total_; }
#elif QUERN_DOT_I8_I8
  // Weights up to 127 are their own signed bytes. Larger ones are moved by 128, which kStartZero
  // accounts for.
  HWY_INLINE void Add(size_t /*group*/, VU8 w, VI32 x) {
    if constexpr (kMaxWeight > 127) w = hn::Xor(w, hn::Set(DU8(), 0x80));
    total_ =
        hn::SumOfMulQuadAccumulate(DI32(), hn::BitCast(DI8(), w), hn::BitCast(DI8(), x), total_);
  }
  HWY_INLINE VI32 Finish() const { return total_; }
#else
  // Pairs of products in int16, which do not saturate up to 127 * 128 * 2 = 32512. kRun of them
  // also fit together, which spares widening each.
  HWY_INLINE void Add(size_t group, VU8 w, VI32 x) {
    const VI16 pairs = hn::SatWidenMulPairwiseAdd(DI16(), w, hn::BitCast(DI8(), x));
    run_ = group % kRun == 0 ? pairs : hn::Add(run_, pairs);
    if (group % kRun == kRun - 1) {
      total_ = hn::Add(total_, hn::WidenMulPairwiseAdd(DI32(), run_, hn::Set(DI16(), 1)));
    }
  }
  HWY_INLINE VI32 Finish() const { return total_; }
#endif

 private:
  VI32 total_;
#if !QUERN_DOT_U8_I8 && !QUERN_DOT_I8_I8
  // Groups whose pairs are added before they are widened: as many as int16 holds, and a divisor of
  // kGroups, which is 4 or 8.
  static constexpr size_t RunFor(size_t run) {
    return run == 1 || (run <= kGroups && run * kMaxWeight * 256 <= 32767) ? run : RunFor(run / 2);
  }
  static constexpr size_t kRun = RunFor(8);
  VI16 run_ = hn::Zero(DI16());
#endif
};

#if QUERN_DOT_SIGNS
/// Larger weights are moved by 128, and their signs go to the activations: what is left of them is
/// at most 128, so that pairs of products fit in int16, if barely.
template <int kMaxWeight, size_t kGroups>
requires(kMaxWeight > 127) class DotSum<kMaxWeight, kGroups> {
 public:
  HWY_INLINE DotSum() : total_(hn::Zero(DI32())) {}
  HWY_INLINE explicit DotSum(VI32 start) : total_(start) {}

  HWY_INLINE void Add(size_t /*group*/, VU8 w, VI32 x) {
    const VI8 moved = hn::BitCast(DI8(), hn::Xor(w, hn::Set(DU8(), 0x80)));
    const VU8 magnitude = hn::BitCast(DU8(), hn::Abs(moved));
    const VI8 signed_x = hn::IfNegativeThenNegOrUndefIfZero(moved, hn::BitCast(DI8(), x));
    const VI16 pairs = hn::SatWidenMulPairwiseAdd(DI16(), magnitude, signed_x);
    total_ = hn::Add(total_, hn::WidenMulPairwiseAdd(DI32(), pairs, hn::Set(DI16(), 1)));
  }
  HWY_INLINE VI32 Finish() const { return total_; }

 private:
  VI32 total_;
};
#elif !QUERN_DOT_U8_I8 && !QUERN_DOT_I8_I8
/// Of larger weights, two sums of nibbles: 2.3 multiplications a group where pairs of whole bytes
/// would take 3, as each needs widening. With 512 bits signs would take two operations.
template <int kMaxWeight, size_t kGroups>
requires(kMaxWeight > 127) class DotSum<kMaxWeight, kGroups> {
 public:
  HWY_INLINE DotSum() = default;
  HWY_INLINE explicit DotSum(VI32 start) : low_(start) {}

  HWY_INLINE void Add(size_t group, VU8 w, VI32 x) {
    const VU8 nibble = hn::Set(DU8(), 0x0F);
    const VU8 high = hn::BitCast(DU8(), hn::ShiftRight<4>(hn::BitCast(DU16(), w)));
    low_.Add(group, hn::And(w, nibble), x);
    high_.Add(group, hn::And(high, nibble), x);
  }
  HWY_INLINE VI32 Finish() const {
    return hn::Add(low_.Finish(), hn::ShiftLeft<4>(high_.Finish()));
  }

 private:
  DotSum<15, kGroups> low_;
  DotSum<15, kGroups> high_;
};
#endif

}  // namespace quern::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
