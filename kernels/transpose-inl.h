// Reads the same bytes of several rows, so that lane = row, and writes what the lanes hold.
#if defined(QUERN_KERNELS_TRANSPOSE_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef QUERN_KERNELS_TRANSPOSE_INL_H_
#undef QUERN_KERNELS_TRANSPOSE_INL_H_
#else
#define QUERN_KERNELS_TRANSPOSE_INL_H_
#endif

#include "kernels/simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace quern::HWY_NAMESPACE {

using DU32 = hn::RebindToUnsigned<DF>;
using VU32 = hn::Vec<DU32>;

/// 16 bytes of every fourth row from rows[0] on, one row a 128-bit block.
template <class D>
HWY_INLINE hn::Vec<D> LoadEveryFourthRow(D d, const std::byte* const* rows, size_t offset) {
  if constexpr (hn::MaxLanes(D()) == 16) {
    return hn::LoadU(d, reinterpret_cast<const uint8_t*>(rows[0] + offset));
  } else {
    const hn::Half<D> half;
    return hn::Combine(d, LoadEveryFourthRow(half, rows + hn::MaxLanes(half) / 4, offset),
                       LoadEveryFourthRow(half, rows, offset));
  }
}

/// words[i] = bytes offset + 4i .. of kLanes rows from rows[0] on, for i < 4 * kQuads. Reads 16
/// bytes of each row for every quad.
template <size_t kQuads>
HWY_INLINE void LoadWords(const std::byte* const* rows, size_t offset, VU32* words) {
  const hn::Repartition<uint64_t, DU32> d64;
  // clang-format off
  const auto load = [&](const std::byte* const* first) HWY_ATTR {
    return hn::BitCast(DU32(), LoadEveryFourthRow(DU8(), first, offset));
  };
  // clang-format on
  HWY_UNROLL(2)
  for (size_t quad = 0; quad < kQuads; ++quad, offset += 16) {
    const VU32 v0 = load(rows);
    const VU32 v1 = load(rows + 1);
    const VU32 v2 = load(rows + 2);
    const VU32 v3 = load(rows + 3);
    const auto low01 = hn::BitCast(d64, hn::InterleaveLower(DU32(), v0, v1));
    const auto low23 = hn::BitCast(d64, hn::InterleaveLower(DU32(), v2, v3));
    const auto high01 = hn::BitCast(d64, hn::InterleaveUpper(DU32(), v0, v1));
    const auto high23 = hn::BitCast(d64, hn::InterleaveUpper(DU32(), v2, v3));
    words[4 * quad] = hn::BitCast(DU32(), hn::InterleaveLower(d64, low01, low23));
    words[4 * quad + 1] = hn::BitCast(DU32(), hn::InterleaveUpper(d64, low01, low23));
    words[4 * quad + 2] = hn::BitCast(DU32(), hn::InterleaveLower(d64, high01, high23));
    words[4 * quad + 3] = hn::BitCast(DU32(), hn::InterleaveUpper(d64, high01, high23));
  }
}

/// Writes byte j of every word to planes[j], for j < 4.
HWY_INLINE void StoreBytes(VU32 words, size_t row, uint8_t (*planes)[kRowGroup]) {
  const hn::Rebind<uint8_t, DF> d8;
  hn::StoreU(hn::TruncateTo(d8, words), d8, planes[0] + row);
  hn::StoreU(hn::TruncateTo(d8, hn::ShiftRight<8>(words)), d8, planes[1] + row);
  hn::StoreU(hn::TruncateTo(d8, hn::ShiftRight<16>(words)), d8, planes[2] + row);
  hn::StoreU(hn::TruncateTo(d8, hn::ShiftRight<24>(words)), d8, planes[3] + row);
}

/// Writes the lower and the upper half of every word.
HWY_INLINE void StoreHalves(VU32 words, uint16_t* lower, uint16_t* upper) {
  const hn::Rebind<uint16_t, DF> d16;
  hn::StoreU(hn::TruncateTo(d16, words), d16, lower);
  hn::StoreU(hn::TruncateTo(d16, hn::ShiftRight<16>(words)), d16, upper);
}

}  // namespace quern::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
