#include "kernels/machine_limits.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/machine_limits.cc"
#include "hwy/foreach_target.h"  // IWYU pragma: keep
// After foreach_target.
#include "kernels/dot-inl.h"

HWY_BEFORE_NAMESPACE();
namespace quern::HWY_NAMESPACE {

uint64_t ReadAllOnTarget(const std::byte* bytes, size_t n_bytes) {
  const DU8 d;
  const auto* from = reinterpret_cast<const uint8_t*>(bytes);
  const size_t step = hn::Lanes(d);
  VU8 sum0 = hn::Zero(d);
  VU8 sum1 = hn::Zero(d);
  VU8 sum2 = hn::Zero(d);
  VU8 sum3 = hn::Zero(d);
  for (size_t i = 0; i < n_bytes; i += 4 * step) {
    sum0 = hn::Xor(sum0, hn::Load(d, from + i));
    sum1 = hn::Xor(sum1, hn::Load(d, from + i + step));
    sum2 = hn::Xor(sum2, hn::Load(d, from + i + 2 * step));
    sum3 = hn::Xor(sum3, hn::Load(d, from + i + 3 * step));
  }
  const VU8 sum = hn::Xor(hn::Xor(sum0, sum1), hn::Xor(sum2, sum3));
  return hn::ReduceSum(DI32(), hn::BitCast(DI32(), sum));
}

// Sums in registers: enough that two dot products a cycle of five cycles' latency never wait.
// Half as many where a vector register file has 16, and a dot product needs more than one sum.
constexpr size_t kSums = QUERN_DOT_U8_I8 || QUERN_DOT_I8_I8 ? 12 : 6;

int32_t MultiplyBytesOnTarget(size_t n) {
  using Dot = DotSum<15, kStepGroups>;
  Dot sums[kSums];
  VU8 w = hn::Set(DU8(), 3);
  const VU8 one = hn::Set(DU8(), 1);
  const VI32 x = hn::Set(DI32(), 0x01020304);
  for (size_t i = 0; i < n; ++i) {
    HWY_UNROLL(8)
    for (size_t g = 0; g < kStepGroups; ++g) {
      // One operand is new each time, or the compiler would add the products up beforehand.
      w = hn::Xor(w, one);
      HWY_UNROLL(12)
      for (Dot& sum : sums) sum.Add(g, w, x);
    }
  }
  VI32 total = hn::Zero(DI32());
  for (const Dot& sum : sums) total = hn::Add(total, sum.Finish());
  return hn::ReduceSum(DI32(), total);
}

size_t ProductsPerRoundOnTarget() { return kSums * kStepGroups * 4 * kLanes; }

}  // namespace quern::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace quern {

HWY_EXPORT(ReadAllOnTarget);
HWY_EXPORT(MultiplyBytesOnTarget);
HWY_EXPORT(ProductsPerRoundOnTarget);

uint64_t ReadAll(const std::byte* bytes, size_t n_bytes) {
  return HWY_DYNAMIC_DISPATCH(ReadAllOnTarget)(bytes, n_bytes);
}

int32_t MultiplyBytes(size_t n) { return HWY_DYNAMIC_DISPATCH(MultiplyBytesOnTarget)(n); }

size_t ProductsPerRound() { return HWY_DYNAMIC_DISPATCH(ProductsPerRoundOnTarget)(); }

}  // namespace quern
#endif  // HWY_ONCE
