// Bit planes: how the codecs lay quantized integers and scales out for 16 rows, and read them back.
#if defined(QUERN_KERNELS_QUANT_PLANES_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef QUERN_KERNELS_QUANT_PLANES_INL_H_
#undef QUERN_KERNELS_QUANT_PLANES_INL_H_
#else
#define QUERN_KERNELS_QUANT_PLANES_INL_H_
#endif

#include "kernels/quant_matmul-inl.h"

HWY_BEFORE_NAMESPACE();
namespace quern::HWY_NAMESPACE {

// A plane is 64 bytes: byte 4 * row + i belongs to column i of one or more K groups of the row.
// Of a step of 32 columns with K groups 0..7,
//   a byte plane holds one group;
//   nibble plane p of 4 holds group p in the low nibbles, group p + 4 in the high ones;
//   pair plane p of 2 holds two bits of groups 4p .. 4p+3, the first in the lowest bits;
//   the bit plane holds one bit of all groups, group g in bit g.
using Plane = uint8_t[4 * kRowGroup];

HWY_INLINE VU8 LoadPlane(const Plane& plane, size_t row) {
  return hn::LoadU(DU8(), plane + 4 * row);
}

/// The bits `kMask << kTo` of every byte, moved there from kMask << kFrom.
template <int kFrom, int kTo>
HWY_INLINE VU8 MoveBits(VU8 bytes) {
  // In 16 bits, which all targets can shift; the caller's mask drops what crosses into a neighbour.
  const auto wide = hn::BitCast(DU16(), bytes);
  if constexpr (kFrom < kTo) return hn::BitCast(DU8(), hn::ShiftLeft<kTo - kFrom>(wide));
  if constexpr (kFrom > kTo) return hn::BitCast(DU8(), hn::ShiftRight<kFrom - kTo>(wide));
  return bytes;
}

HWY_INLINE void LoadNibbles(const Plane* planes, size_t row, VU8* w) {
  const VU8 mask = hn::Set(DU8(), 0x0F);
  HWY_UNROLL(4)
  for (size_t p = 0; p < 4; ++p) {
    const VU8 both = LoadPlane(planes[p], row);
    w[p] = hn::And(both, mask);
    w[p + 4] = hn::And(MoveBits<4, 0>(both), mask);
  }
}

/// Adds two bits of each group to bits kTo and kTo + 1 of w.
template <int kTo>
HWY_INLINE void AddPairs(const Plane* planes, size_t row, VU8* w) {
  const VU8 mask = hn::Set(DU8(), 3 << kTo);
  HWY_UNROLL(2)
  for (size_t p = 0; p < 2; ++p) {
    const VU8 pairs = LoadPlane(planes[p], row);
    w[4 * p] = hn::OrAnd(w[4 * p], MoveBits<0, kTo>(pairs), mask);
    w[4 * p + 1] = hn::OrAnd(w[4 * p + 1], MoveBits<2, kTo>(pairs), mask);
    w[4 * p + 2] = hn::OrAnd(w[4 * p + 2], MoveBits<4, kTo>(pairs), mask);
    w[4 * p + 3] = hn::OrAnd(w[4 * p + 3], MoveBits<6, kTo>(pairs), mask);
  }
}

/// Adds one bit of each group to bit kTo of w.
template <int kTo>
HWY_INLINE void AddBits(const Plane& plane, size_t row, VU8* w) {
  const VU8 mask = hn::Set(DU8(), 1 << kTo);
  const VU8 bits = LoadPlane(plane, row);
  w[0] = hn::OrAnd(w[0], MoveBits<0, kTo>(bits), mask);
  w[1] = hn::OrAnd(w[1], MoveBits<1, kTo>(bits), mask);
  w[2] = hn::OrAnd(w[2], MoveBits<2, kTo>(bits), mask);
  w[3] = hn::OrAnd(w[3], MoveBits<3, kTo>(bits), mask);
  w[4] = hn::OrAnd(w[4], MoveBits<4, kTo>(bits), mask);
  w[5] = hn::OrAnd(w[5], MoveBits<5, kTo>(bits), mask);
  w[6] = hn::OrAnd(w[6], MoveBits<6, kTo>(bits), mask);
  w[7] = hn::OrAnd(w[7], MoveBits<7, kTo>(bits), mask);
}

HWY_INLINE void StorePlane(VU32 words, size_t row, Plane& plane) {
  hn::StoreU(hn::BitCast(DU8(), words), DU8(), plane + 4 * row);
}

/// Writes the nibble planes of 32 columns: of every byte the low nibble, or the high one.
template <bool kHigh>
HWY_INLINE void PackNibbles(const VU32* words, size_t row, Plane* planes) {
  const VU32 low_nibbles = hn::Set(DU32(), 0x0F0F0F0F);
  HWY_UNROLL(4)
  for (size_t p = 0; p < 4; ++p) {
    const VU32 low = kHigh ? hn::ShiftRight<4>(words[p]) : words[p];
    const VU32 high = kHigh ? words[p + 4] : hn::ShiftLeft<4>(words[p + 4]);
    StorePlane(hn::BitwiseIfThenElse(low_nibbles, low, high), row, planes[p]);
  }
}

/// Writes the pair planes of 32 columns: of every byte bits `shift` and shift + 1.
HWY_INLINE void PackPairs(const VU32* words, int shift, size_t row, Plane* planes) {
  const auto bits = [shift](VU32 word) HWY_ATTR {
    return hn::And(hn::ShiftRightSame(word, shift), hn::Set(DU32(), 0x03030303));
  };
  HWY_UNROLL(2)
  for (size_t p = 0; p < 2; ++p) {
    VU32 pairs = bits(words[4 * p]);
    pairs = hn::Or(pairs, hn::ShiftLeft<2>(bits(words[4 * p + 1])));
    pairs = hn::Or(pairs, hn::ShiftLeft<4>(bits(words[4 * p + 2])));
    pairs = hn::Or(pairs, hn::ShiftLeft<6>(bits(words[4 * p + 3])));
    StorePlane(pairs, row, planes[p]);
  }
}

/// Writes the bit plane of 32 columns: of every byte bit `shift`.
HWY_INLINE void PackBits(const VU32* words, int shift, size_t row, Plane& plane) {
  VU32 bits = hn::Zero(DU32());
  HWY_UNROLL(8)
  for (size_t g = 0; g < kStepGroups; ++g) {
    const VU32 bit = hn::And(hn::ShiftRightSame(words[g], shift), hn::Set(DU32(), 0x01010101));
    bits = hn::Or(bits, hn::ShiftLeftSame(bit, static_cast<int>(g)));
  }
  StorePlane(bits, row, plane);
}

}  // namespace quern::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
