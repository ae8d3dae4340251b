// Codec of Q5_K.
#if defined(QUERN_KERNELS_QUANT_Q5_K_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef QUERN_KERNELS_QUANT_Q5_K_INL_H_
#undef QUERN_KERNELS_QUANT_Q5_K_INL_H_
#else
#define QUERN_KERNELS_QUANT_Q5_K_INL_H_
#endif

#include "kernels/quant/q4_k-inl.h"

HWY_BEFORE_NAMESPACE();
namespace quern::HWY_NAMESPACE {

class Q5KCodec {
 public:
  using Block = BlockQ5K;
  struct Step {
    Plane nibbles[4];  // bits 0..3
    Plane bits;        // bit 4
  };
  struct Packed {
    PackedScalesAndMins scales;
    Step steps[8];
  };
  static constexpr size_t kCols = kSuperBlock;
  static constexpr int kMaxWeight = 31;
  static constexpr int kZero = 0;
  static constexpr bool kHasMin = true;
  static constexpr size_t kScales = 1;

  static HWY_INLINE void Pack(const PackRows<Block>& rows, Packed& packed) {
    packed.scales.Pack(rows);
    VU32 bits[8];
    rows.Load(offsetof(Block, qh), bits);
    for (size_t step = 0; step < 8; ++step) {
      PackBits(bits, static_cast<int>(step), rows.row, packed.steps[step].bits);
    }
    for (size_t step = 0; step < 8; step += 2) {
      VU32 words[8];
      rows.Load(offsetof(Block, qs) + 16 * step, words);
      PackNibbles<false>(words, rows.row, packed.steps[step].nibbles);
      PackNibbles<true>(words, rows.row, packed.steps[step + 1].nibbles);
    }
  }

  HWY_INLINE Q5KCodec(const Packed& packed, size_t row)
      : packed_(packed), row_(row), scales_(packed.scales, row) {}
  HWY_INLINE void Weights(size_t step, VU8* w) const {
    LoadNibbles(packed_.steps[step].nibbles, row_, w);
    AddBits<4>(packed_.steps[step].bits, row_, w);
  }
  HWY_INLINE VF Scale(size_t step, size_t /*half*/) const { return scales_.Scale(step); }
  HWY_INLINE VF Min(size_t step, size_t /*half*/) const { return scales_.Min(step); }

 private:
  const Packed& packed_;
  size_t row_;
  ScalesAndMins scales_;
};

}  // namespace quern::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
