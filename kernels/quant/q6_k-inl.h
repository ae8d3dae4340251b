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
    int8_t scales[16][kRowGroup];  // [sub-block of 16 columns]
    Step steps[8];
  };
  static constexpr size_t kCols = kSuperBlock;
  static constexpr int kMaxWeight = 63;
  static constexpr int kZero = 32;
  static constexpr bool kHasMin = false;
  static constexpr size_t kScales = 2;

  static void Pack(const Block* const* rows, Packed& packed) {
    for (size_t row = 0; row < kRowGroup; ++row) {
      const Block& block = *rows[row];
      packed.d[row] = block.d;
      for (size_t j = 0; j < 16; ++j) packed.scales[j][row] = block.scales[j];
      for (size_t step = 0; step < 8; ++step) {
        const size_t half = step / 4;
        const size_t quarter = step % 4;
        Step& to = packed.steps[step];
        PackNibbles(block.ql + 64 * half + 32 * (quarter % 2), static_cast<int>(quarter / 2 * 4),
                    row, to.nibbles);
        PackPairs(block.qh + 32 * half, static_cast<int>(2 * quarter), row, to.pairs);
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
    const auto scale = hn::LoadU(d8, packed_.scales[2 * step + half] + row_);
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
