#include "kernels/machine_limits.h"

#include <algorithm>
#include <chrono>
#include <cstring>
#include <iterator>
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

// As in a tile of the kernels, each weight and each activation that is loaded serves several
// products, so that loads do not limit; and there are enough sums that no product waits for
// another.
constexpr size_t kWeights = 2;
// Two dot products a cycle of five cycles' latency want ten sums. Half of them where a sum takes
// two of 16 registers, and waits for one cycle's additions alone.
constexpr size_t kTokens = QUERN_DOT_U8_I8 || QUERN_DOT_I8_I8 ? 6 : 3;

int32_t MultiplyBytesOnTarget(size_t n) {
  DotSum<15, kStepGroups> sums[kWeights][kTokens];
  HWY_ALIGN uint8_t w[kStepGroups * kWeights * sizeof(VU8)];
  HWY_ALIGN int32_t x[kStepGroups * kTokens];
  std::memset(w, 3, sizeof(w));
  std::memset(x, 1, sizeof(x));
  for (size_t i = 0; i < n; ++i) {
    // For all that the compiler knows the operands are others now, and no product is like another.
    asm volatile("" : : "r"(w), "r"(x) : "memory");
    HWY_UNROLL(8)
    for (size_t group = 0; group < kStepGroups; ++group) {
      const uint8_t* group_w = w + group * kWeights * sizeof(VU8);
      const VU8 w0 = hn::Load(DU8(), group_w);
      const VU8 w1 = hn::Load(DU8(), group_w + sizeof(VU8));
      HWY_UNROLL(6)
      for (size_t t = 0; t < kTokens; ++t) {
        const VI32 each = hn::Set(DI32(), x[group * kTokens + t]);
        sums[0][t].Add(group, w0, each);
        sums[1][t].Add(group, w1, each);
      }
    }
  }
  VI32 total = hn::Zero(DI32());
  for (const auto& of_weights : sums) {
    for (const auto& sum : of_weights) total = hn::Add(total, sum.Finish());
  }
  return hn::ReduceSum(DI32(), total);
}

// Twelve sums: enough for two fused operations a cycle of four or five cycles' latency.
constexpr size_t kFloatTokens = 6;

float MultiplyFloatsOnTarget(size_t n) {
  VF sums[kWeights][kFloatTokens];
  for (auto& of_weights : sums) {
    for (VF& sum : of_weights) sum = hn::Zero(DF());
  }
  HWY_ALIGN float w[kStepGroups * kWeights * kLanes];
  HWY_ALIGN float x[kStepGroups * kFloatTokens];
  std::fill_n(w, std::size(w), 0.5F);
  std::fill_n(x, std::size(x), 0.5F);
  for (size_t i = 0; i < n; ++i) {
    asm volatile("" : : "r"(w), "r"(x) : "memory");
    HWY_UNROLL(8)
    for (size_t col = 0; col < kStepGroups; ++col) {
      const VF w0 = hn::Load(DF(), w + col * kWeights * kLanes);
      const VF w1 = hn::Load(DF(), w + (col * kWeights + 1) * kLanes);
      HWY_UNROLL(6)
      for (size_t t = 0; t < kFloatTokens; ++t) {
        const VF each = hn::Set(DF(), x[col * kFloatTokens + t]);
        sums[0][t] = hn::MulAdd(w0, each, sums[0][t]);
        sums[1][t] = hn::MulAdd(w1, each, sums[1][t]);
      }
    }
  }
  VF total = hn::Zero(DF());
  for (const auto& of_weights : sums) {
    for (const VF& sum : of_weights) total = hn::Add(total, sum);
  }
  return hn::ReduceSum(DF(), total);
}

size_t FloatProductsPerRoundOnTarget() { return kWeights * kFloatTokens * kStepGroups * kLanes; }

size_t ProductsPerRoundOnTarget() { return kWeights * kTokens * kStepGroups * 4 * kLanes; }

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
