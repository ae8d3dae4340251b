// Codec of Q6_K.
#if defined(QUERN_KERNELS_QUANT_Q6_K_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef QUERN_KERNELS_QUANT_Q6_K_INL_H_
#undef QUERN_KERNELS_QUANT_Q6_K_INL_H_
#else
#define QUERN_KERNELS_QUANT_Q6_K_INL_H_
#endif

#include "kernels/blocks.h"
#include "kernels/quant/planes-inl.h"

HWY_BEFORE_NAMESPACE();
namespace quern::HWY_NAMESPACE {

class Q6KCodec {
 public:
  using Block = BlockQ6K;
  struct Step {
    Plane nibbles[4];  // bits 0..3
    Plane pairs[2];    // bits 4..5
  };
  struct Packed {
    HalfBits d[kRowGroup];
    uint8_t scales[16][kRowGroup];  // int8, [sub-block of 16 columns]
    Step steps[8];
  };
  static constexpr size_t kCols = kSuperBlock;
  static constexpr int kMaxWeight = 63;
  static constexpr int kZero = 32;
  static constexpr bool kHasMin = false;
  static constexpr size_t kScales = 2;

  static HWY_INLINE void Pack(const PackRows<Block>& rows, Packed& packed) {
    for (size_t i = 0; i < kLanes; ++i) packed.d[rows.row + i] = rows[i].d;
    VU32 words[8];
    VU32 scales[4];
    rows.Load(offsetof(Block, scales), scales);
    for (size_t i = 0; i < 4; ++i) StoreBytes(scales[i], rows.row, packed.scales + 4 * i);
    for (size_t half = 0; half < 2; ++half) {
      Step* steps = packed.steps + 4 * half;
      rows.Load(offsetof(Block, qh) + 32 * half, words);
      HWY_UNROLL(4)
      for (size_t quarter = 0; quarter < 4; ++quarter) {
        PackPairs(words, static_cast<int>(2 * quarter), rows.row, steps[quarter].pairs);
      }
      for (size_t quarter = 0; quarter < 2; ++quarter) {
        rows.Load(offsetof(Block, ql) + 64 * half + 32 * quarter, words);
        PackNibbles<false>(words, rows.row, steps[quarter].nibbles);
        PackNibbles<true>(words, rows.row, steps[quarter + 2].nibbles);
      }
    }
  }

  HWY_INLINE Q6KCodec(const Packed& packed, size_t row)
      : packed_(packed), row_(row), d_(LoadHalves(packed.d + row)) {}
  HWY_INLINE void Weights(size_t step, VU8* w) const {
    LoadNibbles(packed_.steps[step].nibbles, row_, w);
    AddPairs<4>(packed_.steps[step].pairs, row_, w);
  }
  HWY_INLINE VF Scale(size_t step, size_t half) const {
    const hn::Rebind<int8_t, DF> d8;
    const hn::Rebind<uint8_t, DF> bits;
    const auto scale = hn::BitCast(d8, hn::LoadU(bits, packed_.scales[2 * step + half] + row_));
    return hn::Mul(d_, hn::ConvertTo(DF(), hn::PromoteTo(DI32(), scale)));
  }

 private:
  const Packed& packed_;
  size_t row_;
  VF d_;
};

}  // namespace quern::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
