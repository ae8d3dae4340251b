// Codec of Q4_K, and the packed form of the 6-bit scales and minimums that it shares with Q5_K.
#if defined(QUERN_KERNELS_QUANT_Q4_K_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef QUERN_KERNELS_QUANT_Q4_K_INL_H_
#undef QUERN_KERNELS_QUANT_Q4_K_INL_H_
#else
#define QUERN_KERNELS_QUANT_Q4_K_INL_H_
#endif

#include "kernels/blocks.h"
#include "kernels/quant/planes-inl.h"

HWY_BEFORE_NAMESPACE();
namespace quern::HWY_NAMESPACE {

/// d, dmin and the 6-bit scale s and minimum m of 8 sub-blocks of 16 rows.
struct PackedScalesAndMins {
  HalfBits d[kRowGroup];
  HalfBits dmin[kRowGroup];
  uint8_t low[8][kRowGroup];   // [sub-block]: s & 15 | (m & 15) << 4
  uint8_t high[4][kRowGroup];  // [sub-block % 4], nibble sub-block / 4: s >> 4 | (m >> 4) << 2

  template <class Block>
  HWY_INLINE void Pack(const Block* const* rows) {
    for (size_t row = 0; row < kRowGroup; ++row) {
      const Block& block = *rows[row];
      d[row] = block.d;
      dmin[row] = block.dmin;
      for (size_t j = 0; j < 4; ++j) {
        const uint8_t s = block.scales[j];
        const uint8_t m = block.scales[4 + j];
        const uint8_t both = block.scales[8 + j];
        low[j][row] = static_cast<uint8_t>((s & 15) | (m & 15) << 4);
        low[4 + j][row] = both;
        high[j][row] = static_cast<uint8_t>(((s >> 4) & 3) | ((m >> 4) & 3) << 2 | (s >> 6) << 4 |
                                            (m >> 6) << 6);
      }
    }
  }
};

/// Reads them for kLanes rows.
class ScalesAndMins {
 public:
  HWY_INLINE ScalesAndMins(const PackedScalesAndMins& packed, size_t row)
      : packed_(packed),
        row_(row),
        d_(LoadHalves(packed.d + row)),
        minus_dmin_(hn::Neg(LoadHalves(packed.dmin + row))) {}

  HWY_INLINE VF Scale(size_t step) const {
    const VI32 low = hn::And(Low(step), hn::Set(DI32(), 15));
    return Times(d_, hn::OrAnd(low, hn::ShiftLeft<4>(High(step)), hn::Set(DI32(), 0x30)));
  }
  HWY_INLINE VF Min(size_t step) const {
    const VI32 low = hn::ShiftRight<4>(Low(step));
    return Times(minus_dmin_, hn::OrAnd(low, hn::ShiftLeft<2>(High(step)), hn::Set(DI32(), 0x30)));
  }

 private:
  HWY_INLINE VI32 Low(size_t step) const { return LoadBytes(packed_.low[step] + row_); }
  HWY_INLINE VI32 High(size_t step) const {
    const VI32 high = LoadBytes(packed_.high[step % 4] + row_);
    return hn::ShiftRightSame(high, static_cast<int>(step / 4 * 4));
  }
  static HWY_INLINE VF Times(VF d, VI32 factor) { return hn::Mul(d, hn::ConvertTo(DF(), factor)); }

  const PackedScalesAndMins& packed_;
  size_t row_;
  VF d_;
  VF minus_dmin_;
};

class Q4KCodec {
 public:
  using Block = BlockQ4K;
  struct Packed {
    PackedScalesAndMins scales;
    Plane nibbles[8][4];  // [step]
  };
  static constexpr size_t kCols = kSuperBlock;
  static constexpr int kMaxWeight = 15;
  static constexpr int kZero = 0;
  static constexpr bool kHasMin = true;
  static constexpr size_t kScales = 1;

  static void Pack(const Block* const* rows, Packed& packed) {
    packed.scales.Pack(rows);
    for (size_t row = 0; row < kRowGroup; ++row) {
      for (size_t step = 0; step < 8; ++step) {
        PackNibbles(rows[row]->qs + step / 2 * 32, static_cast<int>(step % 2 * 4), row,
                    packed.nibbles[step]);
      }
    }
  }

  HWY_INLINE Q4KCodec(const Packed& packed, size_t row)
      : packed_(packed), row_(row), scales_(packed.scales, row) {}
  HWY_INLINE void Weights(size_t step, VU8* w) const {
    LoadNibbles(packed_.nibbles[step], row_, w);
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
