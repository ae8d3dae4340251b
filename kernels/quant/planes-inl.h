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

HWY_INLINE uint32_t Load4(const uint8_t* from) {
  uint32_t value = 0;
  std::memcpy(&value, from, sizeof(value));
  return value;
}
HWY_INLINE void Store4(uint32_t value, uint8_t* to) { std::memcpy(to, &value, sizeof(value)); }

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

/// Writes 32 consecutive columns whose integers are (bytes[0..31] >> shift) & 15.
HWY_INLINE void PackNibbles(const uint8_t* bytes, int shift, size_t row, Plane* planes) {
  for (size_t p = 0; p < 4; ++p) {
    const uint32_t low = (Load4(bytes + 4 * p) >> shift) & 0x0F0F0F0FU;
    const uint32_t high = (Load4(bytes + 4 * (p + 4)) >> shift) & 0x0F0F0F0FU;
    Store4(low | high << 4, planes[p] + 4 * row);
  }
}

/// Writes 32 consecutive columns whose two bits are (bytes[0..31] >> shift) & 3.
HWY_INLINE void PackPairs(const uint8_t* bytes, int shift, size_t row, Plane* planes) {
  for (size_t p = 0; p < 2; ++p) {
    uint32_t pairs = 0;
    for (size_t i = 0; i < 4; ++i) {
      pairs |= ((Load4(bytes + 4 * (4 * p + i)) >> shift) & 0x03030303U) << (2 * i);
    }
    Store4(pairs, planes[p] + 4 * row);
  }
}

/// Writes 32 consecutive columns whose bit is (bytes[0..31] >> shift) & 1.
HWY_INLINE void PackBits(const uint8_t* bytes, int shift, size_t row, Plane& plane) {
  uint32_t bits = 0;
  for (size_t g = 0; g < kStepGroups; ++g) {
    bits |= ((Load4(bytes + 4 * g) >> shift) & 0x01010101U) << g;
  }
  Store4(bits, plane + 4 * row);
}

}  // namespace quern::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
