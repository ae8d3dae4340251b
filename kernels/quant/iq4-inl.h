// Codecs of IQ4_NL and IQ4_XS: nibbles that index a table of levels.
#if defined(QUERN_KERNELS_QUANT_IQ4_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef QUERN_KERNELS_QUANT_IQ4_INL_H_
#undef QUERN_KERNELS_QUANT_IQ4_INL_H_
#else
#define QUERN_KERNELS_QUANT_IQ4_INL_H_
#endif

#include "kernels/blocks.h"
#include "kernels/quant/planes-inl.h"

HWY_BEFORE_NAMESPACE();
namespace quern::HWY_NAMESPACE {

inline constexpr int kIq4Zero = 128;

/// Nibble planes to levels + kIq4Zero.
HWY_INLINE void LoadIq4Levels(const Plane* planes, size_t row, VU8* w) {
  static constexpr auto kLevels = [] {
    struct {
      uint8_t level[16];
    } table{};
    for (size_t i = 0; i < 16; ++i) {
      table.level[i] = static_cast<uint8_t>(kIq4Values[i] + kIq4Zero);
    }
    return table;
  }();
  const VU8 levels = hn::LoadDup128(DU8(), kLevels.level);
  LoadNibbles(planes, row, w);
  HWY_UNROLL(8)
  for (size_t g = 0; g < kStepGroups; ++g) w[g] = hn::TableLookupBytes(levels, w[g]);
}

class Iq4NlCodec {
 public:
  using Block = BlockIq4Nl;
  struct Packed {
    HalfBits d[kRowGroup];
    Plane nibbles[4];
  };
  static constexpr size_t kCols = kSmallBlock;
  static constexpr int kMaxWeight = 255;
  static constexpr int kZero = kIq4Zero;
  static constexpr bool kHasMin = false;
  static constexpr size_t kScales = 1;

  static HWY_INLINE void Pack(const PackRows<Block>& rows, Packed& packed) {
    for (size_t i = 0; i < kLanes; ++i) packed.d[rows.row + i] = rows[i].d;
    VU32 words[4];
    rows.Load(offsetof(Block, qs), words);
    for (size_t p = 0; p < 4; ++p) StorePlane(words[p], rows.row, packed.nibbles[p]);
  }

  HWY_INLINE Iq4NlCodec(const Packed& packed, size_t row) : packed_(packed), row_(row) {}
  HWY_INLINE void Weights(size_t /*step*/, VU8* w) const {
    LoadIq4Levels(packed_.nibbles, row_, w);
  }
  HWY_INLINE VF Scale(size_t /*step*/, size_t /*half*/) const {
    return LoadHalves(packed_.d + row_);
  }

 private:
  const Packed& packed_;
  size_t row_;
};

class Iq4XsCodec {
 public:
  using Block = BlockIq4Xs;
  struct Packed {
    HalfBits d[kRowGroup];
    // Scale s of a step: low[step % 4] has s & 15 in nibble step / 4, high[step / 4] has s >> 4 in
    // bits 2 * (step % 4) and up.
    uint8_t low[4][kRowGroup];
    uint8_t high[2][kRowGroup];
    Plane nibbles[8][4];  // [step]
  };
  static constexpr size_t kCols = kSuperBlock;
  static constexpr int kMaxWeight = 255;
  static constexpr int kZero = kIq4Zero;
  static constexpr bool kHasMin = false;
  static constexpr size_t kScales = 1;

  static HWY_INLINE void Pack(const PackRows<Block>& rows, Packed& packed) {
    for (size_t i = 0; i < kLanes; ++i) {
      const Block& block = rows[i];
      const size_t row = rows.row + i;
      packed.d[row] = block.d;
      const auto low = [&](size_t j) { return (block.scales_l[j / 2] >> (j % 2 * 4)) & 15; };
      for (size_t j = 0; j < 4; ++j) {
        packed.low[j][row] = static_cast<uint8_t>(low(j) | low(j + 4) << 4);
      }
      packed.high[0][row] = static_cast<uint8_t>(block.scales_h & 0xFF);
      packed.high[1][row] = static_cast<uint8_t>(block.scales_h >> 8);
    }
    for (size_t step = 0; step < 8; ++step) {
      VU32 words[4];
      rows.Load(offsetof(Block, qs) + 16 * step, words);
      for (size_t p = 0; p < 4; ++p) StorePlane(words[p], rows.row, packed.nibbles[step][p]);
    }
  }

  HWY_INLINE Iq4XsCodec(const Packed& packed, size_t row)
      : packed_(packed), row_(row), d_(LoadHalves(packed.d + row)) {}
  HWY_INLINE void Weights(size_t step, VU8* w) const {
    LoadIq4Levels(packed_.nibbles[step], row_, w);
  }
  HWY_INLINE VF Scale(size_t step, size_t /*half*/) const {
    const VI32 low =
        hn::ShiftRightSame(LoadBytes(packed_.low[step % 4] + row_), static_cast<int>(step / 4 * 4));
    const VI32 high = hn::ShiftRightSame(LoadBytes(packed_.high[step / 4] + row_),
                                         static_cast<int>(step % 4 * 2));
    const VI32 scale =
        hn::OrAnd(hn::And(low, hn::Set(DI32(), 15)), hn::ShiftLeft<4>(high), hn::Set(DI32(), 0x30));
    return hn::Mul(d_, hn::ConvertTo(DF(), hn::Sub(scale, hn::Set(DI32(), 32))));
  }

 private:
  const Packed& packed_;
  size_t row_;
  VF d_;
};

}  // namespace quern::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
