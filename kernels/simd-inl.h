// Vector types of the product kernels: lane = row of a group of kRowGroup rows.
#if defined(QUERN_KERNELS_SIMD_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef QUERN_KERNELS_SIMD_INL_H_
#undef QUERN_KERNELS_SIMD_INL_H_
#else
#define QUERN_KERNELS_SIMD_INL_H_
#endif

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <type_traits>

#include "hwy/highway.h"
#include "kernels/matmul.h"

HWY_BEFORE_NAMESPACE();
namespace quern::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

// A vector holds kLanes rows: all 16 of a group with 512 bits, so that narrower targets walk a
// group in kSlices slices.
using DF = hn::CappedTag<float, kRowGroup>;
using DI32 = hn::RebindToSigned<DF>;
using DI16 = hn::Repartition<int16_t, DF>;
using DU16 = hn::Repartition<uint16_t, DF>;
using DI8 = hn::Repartition<int8_t, DF>;
using DU8 = hn::Repartition<uint8_t, DF>;
using VF = hn::Vec<DF>;
using VI32 = hn::Vec<DI32>;
using VI16 = hn::Vec<DI16>;
using VI8 = hn::Vec<DI8>;
using VU8 = hn::Vec<DU8>;

inline constexpr size_t kLanes = hn::MaxLanes(DF());
inline constexpr size_t kSlices = kRowGroup / kLanes;
static_assert(kSlices * kLanes == kRowGroup);

// Weights are asked for this far ahead of their use. Hardware prefetches too, but not past a 4 KB
// page, and too late once the products take time: four tokens reached 150 Gop/s a core from memory,
// and 270 this way, as from L2. Half or twice the distance reached the same or less.
inline constexpr size_t kPrefetchDistance = 8192;

inline constexpr size_t kCacheLine = 64;

/// Asks for `n_bytes` at `weights`, for L1 or else for L2.
template <bool kToL1>
HWY_INLINE void PrefetchWeights(const std::byte* weights, size_t n_bytes) {
  for (size_t at = 0; at < n_bytes; at += kCacheLine) {
    __builtin_prefetch(weights + at, 0, kToL1 ? 3 : 2);
  }
}

/// Four consecutive bytes in every lane.
HWY_INLINE VI32 Broadcast4(const void* bytes) {
  int32_t value = 0;
  std::memcpy(&value, bytes, sizeof(value));
  return hn::Set(DI32(), value);
}

/// One unsigned byte a row, widened.
HWY_INLINE VI32 LoadBytes(const uint8_t* rows) {
  return hn::PromoteTo(DI32(), hn::LoadU(hn::Rebind<uint8_t, DF>(), rows));
}

/// One half-precision float a row, widened.
HWY_INLINE VF LoadHalves(const uint16_t* rows) {
  const hn::Rebind<hwy::float16_t, DF> d16;
  const hn::Rebind<uint16_t, DF> du16;
  return hn::PromoteTo(DF(), hn::BitCast(d16, hn::LoadU(du16, rows)));
}

/// Calls run with `n_tokens` as a constant, if it is 1 to kMost.
template <size_t kMost, class Run>
void WithTokens(size_t n_tokens, Run run) {
  if constexpr (kMost > 0) {
    if (n_tokens == kMost) return run(std::integral_constant<size_t, kMost>());
    WithTokens<kMost - 1>(n_tokens, run);
  }
}

/// Writes the sums of kLanes rows from row `row` of group `group` on, for one token.
HWY_INLINE void StoreRows(const MatMulArgs& args, size_t group, size_t row, size_t token, VF sum) {
  const DF d;
  if (args.factors != nullptr) sum = hn::Mul(sum, hn::Set(d, args.factors[token]));
  const size_t first = group * kRowGroup + row;
  float* out = args.out + token * args.out_stride + first;
  if (first + kLanes <= args.w.n_rows) {
    hn::StoreU(args.accumulate ? hn::Add(hn::LoadU(d, out), sum) : sum, d, out);
  } else if (first < args.w.n_rows) {
    const size_t n = args.w.n_rows - first;
    hn::StoreN(args.accumulate ? hn::Add(hn::LoadN(d, out, n), sum) : sum, d, out, n);
  }
}

}  // namespace quern::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
