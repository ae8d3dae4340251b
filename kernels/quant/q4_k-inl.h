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
  HWY_INLINE void Pack(const PackRows<Block>& rows) {
    static_assert(offsetof(Block, d) == 0 && offsetof(Block, dmin) == 2 &&
                  offsetof(Block, scales) == 4);
    VU32 words[4];
    rows.Load(0, words);
    const auto bits = [](VU32 word, uint32_t mask)
                          HWY_ATTR { return hn::And(word, hn::Set(DU32(), mask * 0x01010101U)); };
    const VU32 s = words[1];
    const VU32 m = words[2];
    StoreHalves(words[0], d + rows.row, dmin + rows.row);
    StoreBytes(hn::Or(bits(s, 0x0F), hn::ShiftLeft<4>(bits(m, 0x0F))), rows.row, low);
    StoreBytes(words[3], rows.row, low + 4);
    const VU32 middle = hn::Or(hn::ShiftRight<4>(bits(s, 0x30)), hn::ShiftRight<2>(bits(m, 0x30)));
    const VU32 top = hn::Or(hn::ShiftRight<2>(bits(s, 0xC0)), bits(m, 0xC0));
    StoreBytes(hn::Or(middle, top), rows.row, high);
  }
};

/// Reads them for kLanes rows. The integers of all sub-blocks are taken apart at once, where a
/// vector holds bytes of several.
class ScalesAndMins {
 public:
  HWY_INLINE ScalesAndMins(const PackedScalesAndMins& packed, size_t row)
      : row_(row),
        d_(LoadHalves(packed.d + row)),
        minus_dmin_(hn::Neg(LoadHalves(packed.dmin + row))) {
    const DU8 d8;
    const VU8 nibble = hn::Set(d8, 0x0F);
    const VU8 top = hn::Set(d8, 0x30);
    for (size_t i = 0; i < 4 * kRowGroup; i += hn::Lanes(d8)) {
      const VU8 high = hn::LoadU(d8, packed.high[0] + i);
      const VU8 low = hn::LoadU(d8, packed.low[0] + i);
      hn::Store(hn::OrAnd(hn::And(low, nibble), MoveBits<0, 4>(high), top), d8, scales_[0] + i);
      hn::Store(hn::OrAnd(hn::And(MoveBits<4, 0>(low), nibble), MoveBits<2, 4>(high), top), d8,
                mins_[0] + i);
      const VU8 low4 = hn::LoadU(d8, packed.low[4] + i);
      hn::Store(hn::OrAnd(hn::And(low4, nibble), high, top), d8, scales_[4] + i);
      hn::Store(hn::OrAnd(hn::And(MoveBits<4, 0>(low4), nibble), MoveBits<6, 4>(high), top), d8,
                mins_[4] + i);
    }
  }

  HWY_INLINE VF Scale(size_t step) const { return Times(d_, scales_[step]); }
  HWY_INLINE VF Min(size_t step) const { return Times(minus_dmin_, mins_[step]); }

 private:
  HWY_INLINE VF Times(VF d, const uint8_t* integers) const {
    return hn::Mul(d, hn::ConvertTo(DF(), LoadBytes(integers + row_)));
  }

  size_t row_;
  VF d_;
  VF minus_dmin_;
  alignas(64) uint8_t scales_[8][kRowGroup];  // [sub-block]
  alignas(64) uint8_t mins_[8][kRowGroup];
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

  static HWY_INLINE void Pack(const PackRows<Block>& rows, Packed& packed) {
    packed.scales.Pack(rows);
    HWY_UNROLL(4)
    for (size_t step = 0; step < 8; step += 2) {
      VU32 words[8];
      rows.Load(offsetof(Block, qs) + 16 * step, words);
      PackNibbles<false>(words, rows.row, packed.nibbles[step]);
      PackNibbles<true>(words, rows.row, packed.nibbles[step + 1]);
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
