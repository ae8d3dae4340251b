// Codecs of the types with blocks of 32: Q4_0, Q4_1, Q5_0, Q5_1 and Q8_0.
#if defined(QUERN_KERNELS_QUANT_SMALL_BLOCKS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef QUERN_KERNELS_QUANT_SMALL_BLOCKS_INL_H_
#undef QUERN_KERNELS_QUANT_SMALL_BLOCKS_INL_H_
#else
#define QUERN_KERNELS_QUANT_SMALL_BLOCKS_INL_H_
#endif

#include "kernels/blocks.h"
#include "kernels/quant/planes-inl.h"

HWY_BEFORE_NAMESPACE();
namespace quern::HWY_NAMESPACE {

/// Q4_0, Q4_1, Q5_0 and Q5_1: nibbles, with or without a fifth bit and a minimum.
template <class BlockType, bool kFifthBit, bool kWithMin>
class NibbleCodec {
 public:
  using Block = BlockType;
  struct Packed {
    HalfBits halves[kWithMin ? 2 : 1][kRowGroup];  // d, then m
    Plane planes[kFifthBit ? 5 : 4];               // nibble planes, then the bit plane
  };
  static constexpr size_t kCols = kSmallBlock;
  static constexpr int kMaxWeight = kFifthBit ? 31 : 15;
  static constexpr int kZero = kWithMin ? 0 : (kFifthBit ? 16 : 8);
  static constexpr bool kHasMin = kWithMin;
  static constexpr size_t kScales = 1;

  static HWY_INLINE void Pack(const PackRows<Block>& rows, Packed& packed) {
    for (size_t i = 0; i < kLanes; ++i) {
      packed.halves[0][rows.row + i] = rows[i].d;
      if constexpr (kWithMin) packed.halves[1][rows.row + i] = rows[i].m;
    }
    // The blocks already pair column i with i + 16, as nibble planes do.
    VU32 words[4];
    rows.Load(offsetof(Block, qs), words);
    for (size_t p = 0; p < 4; ++p) StorePlane(words[p], rows.row, packed.planes[p]);
    if constexpr (kFifthBit) {
      // The 16 bytes that are read end within qs.
      rows.Load(offsetof(Block, qh), words);
      StorePlane(SpreadBits(words[0]), rows.row, packed.planes[4]);
    }
  }

  HWY_INLINE NibbleCodec(const Packed& packed, size_t row) : packed_(packed), row_(row) {}
  HWY_INLINE void Weights(size_t /*step*/, VU8* w) const {
    LoadNibbles(packed_.planes, row_, w);
    if constexpr (kFifthBit) AddBits<4>(packed_.planes[4], row_, w);
  }
  HWY_INLINE VF Scale(size_t /*step*/, size_t /*half*/) const {
    return LoadHalves(packed_.halves[0] + row_);
  }
  HWY_INLINE VF Min(size_t /*step*/, size_t /*half*/) const {
    return LoadHalves(packed_.halves[1] + row_);
  }

 private:
  // Bit 4g + i becomes bit g of byte i.
  static HWY_INLINE VU32 SpreadBits(VU32 bits) {
    VU32 spread = hn::Zero(DU32());
    for (int g = 0; g < static_cast<int>(kStepGroups); ++g) {
      const VU32 nibble = hn::And(hn::ShiftRightSame(bits, 4 * g), hn::Set(DU32(), 15));
      // The product puts bit i of the nibble at bit 8i; what else it makes, the mask drops.
      const VU32 product = hn::Mul(nibble, hn::Set(DU32(), 0x00204081));
      const VU32 apart = hn::And(product, hn::Set(DU32(), 0x01010101));
      spread = hn::Or(spread, hn::ShiftLeftSame(apart, g));
    }
    return spread;
  }

  const Packed& packed_;
  size_t row_;
};

using Q4_0Codec = NibbleCodec<BlockQ4_0, false, false>;
using Q4_1Codec = NibbleCodec<BlockQ4_1, false, true>;
using Q5_0Codec = NibbleCodec<BlockQ5_0, true, false>;
using Q5_1Codec = NibbleCodec<BlockQ5_1, true, true>;

class Q8_0Codec {
 public:
  using Block = BlockQ8_0;
  struct Packed {
    HalfBits d[kRowGroup];
    Plane bytes[kStepGroups];  // q + 128
  };
  static constexpr size_t kCols = kSmallBlock;
  static constexpr int kMaxWeight = 255;
  static constexpr int kZero = 128;
  static constexpr bool kHasMin = false;
  static constexpr size_t kScales = 1;

  static HWY_INLINE void Pack(const PackRows<Block>& rows, Packed& packed) {
    for (size_t i = 0; i < kLanes; ++i) packed.d[rows.row + i] = rows[i].d;
    VU32 words[8];
    rows.Load(offsetof(Block, qs), words);
    for (size_t g = 0; g < kStepGroups; ++g) {
      StorePlane(hn::Xor(words[g], hn::Set(DU32(), 0x80808080)), rows.row, packed.bytes[g]);
    }
  }

  HWY_INLINE Q8_0Codec(const Packed& packed, size_t row) : packed_(packed), row_(row) {}
  HWY_INLINE void Weights(size_t /*step*/, VU8* w) const {
    HWY_UNROLL(8)
    for (size_t g = 0; g < kStepGroups; ++g) w[g] = LoadPlane(packed_.bytes[g], row_);
  }
  HWY_INLINE VF Scale(size_t /*step*/, size_t /*half*/) const {
    return LoadHalves(packed_.d + row_);
  }

 private:
  const Packed& packed_;
  size_t row_;
};

}  // namespace quern::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
