#include "kernels/machine_limits.h"

#include <algorithm>
#include <chrono>
#include <cstring>
#include <limits>

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
// A third where a sum takes two of 16 registers, and waits for one cycle's additions alone.
constexpr size_t kSums = QUERN_DOT_U8_I8 || QUERN_DOT_I8_I8 ? 12 : 4;

int32_t MultiplyBytesOnTarget(size_t n) {
  DotSum<15, kStepGroups> sums[kSums];
  HWY_ALIGN uint8_t w[kStepGroups * sizeof(VU8)];
  HWY_ALIGN int32_t x[kSums * kStepGroups];
  std::memset(w, 3, sizeof(w));
  std::memset(x, 1, sizeof(x));
  for (size_t i = 0; i < n; ++i) {
    // For all that the compiler knows the operands are others now, and no product is like another.
    asm volatile("" : : "r"(w), "r"(x) : "memory");
    HWY_UNROLL(8)
    for (size_t group = 0; group < kStepGroups; ++group) {
      const VU8 group_w = hn::Load(DU8(), w + group * sizeof(VU8));
      HWY_UNROLL(12)
      for (size_t k = 0; k < kSums; ++k) {
        sums[k].Add(group, group_w, hn::Set(DI32(), x[group * kSums + k]));
      }
    }
  }
  VI32 total = hn::Zero(DI32());
  for (const auto& sum : sums) total = hn::Add(total, sum.Finish());
  return hn::ReduceSum(DI32(), total);
}

// Enough for two fused operations a cycle of four or five cycles' latency.
constexpr size_t kFloatSums = 10;

float MultiplyFloatsOnTarget(size_t n) {
  VF sums[kFloatSums];
  for (VF& sum : sums) sum = hn::Zero(DF());
  HWY_ALIGN float x[kStepGroups];
  HWY_ALIGN float w[kFloatSums * kLanes];
  std::fill_n(x, kStepGroups, 0.5F);
  std::fill_n(w, kFloatSums * kLanes, 0.5F);
  for (size_t i = 0; i < n; ++i) {
    asm volatile("" : : "r"(w), "r"(x) : "memory");
    HWY_UNROLL(8)
    for (const float value : x) {
      const VF each = hn::Set(DF(), value);
      HWY_UNROLL(10)
      for (size_t k = 0; k < kFloatSums; ++k) {
        sums[k] = hn::MulAdd(each, hn::Load(DF(), w + k * kLanes), sums[k]);
      }
    }
  }
  VF total = hn::Zero(DF());
  for (const VF& sum : sums) total = hn::Add(total, sum);
  return hn::ReduceSum(DF(), total);
}

size_t FloatProductsPerRoundOnTarget() { return kFloatSums * kStepGroups * kLanes; }

size_t ProductsPerRoundOnTarget() { return kSums * kStepGroups * 4 * kLanes; }

}  // namespace quern::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace quern {

HWY_EXPORT(ReadAllOnTarget);
HWY_EXPORT(MultiplyBytesOnTarget);
HWY_EXPORT(ProductsPerRoundOnTarget);
HWY_EXPORT(MultiplyFloatsOnTarget);
HWY_EXPORT(FloatProductsPerRoundOnTarget);

double BestTime(const std::function<void()>& run) {
  double best = std::numeric_limits<double>::infinity();
  for (int pass = 0; pass < 3; ++pass) {
    const auto start = std::chrono::steady_clock::now();
    run();
    const std::chrono::duration<double> time = std::chrono::steady_clock::now() - start;
    best = std::min(best, time.count());
  }
  return best;
}

uint64_t ReadAll(const std::byte* bytes, size_t n_bytes) {
  return HWY_DYNAMIC_DISPATCH(ReadAllOnTarget)(bytes, n_bytes);
}

int32_t MultiplyBytes(size_t n) { return HWY_DYNAMIC_DISPATCH(MultiplyBytesOnTarget)(n); }

size_t ProductsPerRound() { return HWY_DYNAMIC_DISPATCH(ProductsPerRoundOnTarget)(); }

float MultiplyFloats(size_t n) { return HWY_DYNAMIC_DISPATCH(MultiplyFloatsOnTarget)(n); }

size_t FloatProductsPerRound() { return HWY_DYNAMIC_DISPATCH(FloatProductsPerRoundOnTarget)(); }

}  // namespace quern
#endif  // HWY_ONCE
