// Codecs of Q2_K and Q3_K: two bits a weight in pair planes, scales for every 16 columns.
#if defined(QUERN_KERNELS_QUANT_Q2_K_Q3_K_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef QUERN_KERNELS_QUANT_Q2_K_Q3_K_INL_H_
#undef QUERN_KERNELS_QUANT_Q2_K_Q3_K_INL_H_
#else
#define QUERN_KERNELS_QUANT_Q2_K_Q3_K_INL_H_
#endif

#include "kernels/blocks.h"
#include "kernels/quant/planes-inl.h"

HWY_BEFORE_NAMESPACE();
namespace quern::HWY_NAMESPACE {

class Q2KCodec {
 public:
  using Block = BlockQ2K;
  struct Packed {
    HalfBits d[kRowGroup];
    HalfBits dmin[kRowGroup];
    uint8_t scales[16][kRowGroup];  // [sub-block of 16 columns]: scale | minimum << 4
    Plane pairs[8][2];              // [step]
  };
  static constexpr size_t kCols = kSuperBlock;
  static constexpr int kMaxWeight = 3;
  static constexpr int kZero = 0;
  static constexpr bool kHasMin = true;
  static constexpr size_t kScales = 2;

  static HWY_INLINE void Pack(const PackRows<Block>& rows, Packed& packed) {
    for (size_t i = 0; i < kLanes; ++i) {
      packed.d[rows.row + i] = rows[i].d;
      packed.dmin[rows.row + i] = rows[i].dmin;
    }
    VU32 scales[4];
    rows.Load(offsetof(Block, scales), scales);
    for (size_t i = 0; i < 4; ++i) StoreBytes(scales[i], rows.row, packed.scales + 4 * i);
    for (size_t half = 0; half < 2; ++half) {
      VU32 words[8];
      rows.Load(offsetof(Block, qs) + 32 * half, words);
      HWY_UNROLL(4)
      for (size_t quarter = 0; quarter < 4; ++quarter) {
        PackPairs(words, static_cast<int>(2 * quarter), rows.row, packed.pairs[4 * half + quarter]);
      }
    }
  }

  HWY_INLINE Q2KCodec(const Packed& packed, size_t row)
      : packed_(packed),
        row_(row),
        d_(LoadHalves(packed.d + row)),
        minus_dmin_(hn::Neg(LoadHalves(packed.dmin + row))) {}
  HWY_INLINE void Weights(size_t step, VU8* w) const {
    HWY_UNROLL(8)
    for (size_t g = 0; g < kStepGroups; ++g) w[g] = hn::Zero(DU8());
    AddPairs<0>(packed_.pairs[step], row_, w);
  }
  HWY_INLINE VF Scale(size_t step, size_t half) const {
    const VI32 scale = hn::And(Both(step, half), hn::Set(DI32(), 15));
    return hn::Mul(d_, hn::ConvertTo(DF(), scale));
  }
  HWY_INLINE VF Min(size_t step, size_t half) const {
    return hn::Mul(minus_dmin_, hn::ConvertTo(DF(), hn::ShiftRight<4>(Both(step, half))));
  }

 private:
  HWY_INLINE VI32 Both(size_t step, size_t half) const {
    return LoadBytes(packed_.scales[2 * step + half] + row_);
  }

  const Packed& packed_;
  size_t row_;
  VF d_;
  VF minus_dmin_;
};

class Q3KCodec {
 public:
  using Block = BlockQ3K;
  struct Step {
    Plane pairs[2];  // bits 0..1
    Plane bits;      // bit 2
  };
  struct Packed {
    HalfBits d[kRowGroup];
    // Scale s of the halves of a step, nibble [half]: low[step] has s & 15; high[step / 2] has
    // s >> 4 in bits 4 * (step % 2) + 2 * half and up.
    uint8_t low[8][kRowGroup];
    uint8_t high[4][kRowGroup];
    Step steps[8];
  };
  static constexpr size_t kCols = kSuperBlock;
  static constexpr int kMaxWeight = 7;
  static constexpr int kZero = 4;
  static constexpr bool kHasMin = false;
  static constexpr size_t kScales = 2;

  static HWY_INLINE void Pack(const PackRows<Block>& rows, Packed& packed) {
    for (size_t i = 0; i < kLanes; ++i) {
      const Block& block = rows[i];
      const size_t row = rows.row + i;
      packed.d[row] = block.d;
      const auto low = [&](size_t j) { return (block.scales[j % 8] >> (j / 8 * 4)) & 15; };
      const auto high = [&](size_t j) { return (block.scales[8 + j % 4] >> (j / 4 * 2)) & 3; };
      for (size_t step = 0; step < 8; ++step) {
        packed.low[step][row] = static_cast<uint8_t>(low(2 * step) | low(2 * step + 1) << 4);
      }
      for (size_t j = 0; j < 4; ++j) {
        packed.high[j][row] = static_cast<uint8_t>(high(4 * j) | high(4 * j + 1) << 2 |
                                                   high(4 * j + 2) << 4 | high(4 * j + 3) << 6);
      }
    }
    VU32 bits[8];
    rows.Load(offsetof(Block, hmask), bits);
    for (size_t half = 0; half < 2; ++half) {
      VU32 words[8];
      rows.Load(offsetof(Block, qs) + 32 * half, words);
      HWY_UNROLL(4)
      for (size_t quarter = 0; quarter < 4; ++quarter) {
        Step& to = packed.steps[4 * half + quarter];
        PackPairs(words, static_cast<int>(2 * quarter), rows.row, to.pairs);
        PackBits(bits, static_cast<int>(4 * half + quarter), rows.row, to.bits);
      }
    }
  }

  HWY_INLINE Q3KCodec(const Packed& packed, size_t row)
      : packed_(packed), row_(row), d_(LoadHalves(packed.d + row)) {}
  HWY_INLINE void Weights(size_t step, VU8* w) const {
    HWY_UNROLL(8)
    for (size_t g = 0; g < kStepGroups; ++g) w[g] = hn::Zero(DU8());
    AddPairs<0>(packed_.steps[step].pairs, row_, w);
    AddBits<2>(packed_.steps[step].bits, row_, w);
  }
  HWY_INLINE VF Scale(size_t step, size_t half) const {
    const VI32 low = LoadBytes(packed_.low[step] + row_);
    const VI32 high = hn::ShiftRightSame(LoadBytes(packed_.high[step / 2] + row_),
                                         static_cast<int>(step % 2 * 4));
    const VI32 top = hn::Set(DI32(), 0x30);
    const VI32 scale =
        half == 0 ? hn::OrAnd(hn::And(low, hn::Set(DI32(), 15)), hn::ShiftLeft<4>(high), top)
                  : hn::OrAnd(hn::ShiftRight<4>(low), hn::ShiftLeft<2>(high), top);
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
