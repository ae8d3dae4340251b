#include "kernels/activations.h"

#include <cstring>
#include <limits>

#include "gguf/base/check.h"
#include "kernels/matmul.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/activations.cc"
#include "hwy/foreach_target.h"  // IWYU pragma: keep
// After foreach_target.
#include "kernels/simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace quern::HWY_NAMESPACE {

/// What an infinity or NaN makes of its block: every product with it is NaN.
ActivationBlock NotFinite() {
  constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
  return {.scale = kNan, .sum = kNan, .half_sum = {kNan, kNan}, .start = {}, .q = {}};
}

void QuantizeActivations(const float* x, size_t n_cols, std::byte* row) {
  const DF d;
  const DI32 di;
  const hn::Rebind<int8_t, DF> d8;
  // Smaller blocks count as zeros, well before 127 / max overflows (under 3.7e-37).
  constexpr float kTiny = 1e-30F;
  constexpr size_t kHalf = kActivationBlock / 2;
  auto* blocks = reinterpret_cast<ActivationBlock*>(row);
  for (size_t b = 0; b < n_cols / kActivationBlock; ++b, x += kActivationBlock) {
    // The bits of magnitudes order as the magnitudes do, with infinity and then NaNs on top.
    VI32 max = hn::Zero(di);
    for (size_t i = 0; i < kActivationBlock; i += kLanes) {
      max = hn::Max(max, hn::BitCast(di, hn::Abs(hn::LoadU(d, x + i))));
    }
    const auto largest = hwy::BitCastScalar<float>(hn::ReduceMax(di, max));
    ActivationBlock& block = blocks[b];
    if (!(largest <= std::numeric_limits<float>::max())) {
      block = NotFinite();
      continue;
    }
    const bool zeros = largest < kTiny;
    const VF to_integer = hn::Set(d, zeros ? 0.0F : 127.0F / largest);
    int32_t sums[2];
    for (size_t half = 0; half < 2; ++half) {
      VI32 sum = hn::Zero(di);
      for (size_t i = half * kHalf; i < (half + 1) * kHalf; i += kLanes) {
        const VI32 q = hn::NearestInt(hn::Mul(hn::LoadU(d, x + i), to_integer));
        hn::StoreU(hn::DemoteTo(d8, q), d8, block.q + i);
        sum = hn::Add(sum, q);
      }
      sums[half] = hn::ReduceSum(di, sum);
      block.start[half] = -128 * sums[half];
    }
    block.scale = zeros ? 0.0F : largest / 127.0F;
    block.sum = block.scale * static_cast<float>(sums[0] + sums[1]);
    block.half_sum[0] = block.scale * static_cast<float>(sums[0]);
    block.half_sum[1] = block.scale * static_cast<float>(sums[1]);
  }
}

}  // namespace quern::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace quern {

HWY_EXPORT(QuantizeActivations);

void PrepareActivations(ActivationKind kind, const float* x, size_t n_cols, std::byte* row) {
  PrepareActivationColumns(kind, x, 0, n_cols, row);
}

void PrepareActivationColumns(ActivationKind kind, const float* x, size_t first_col, size_t n_cols,
                              std::byte* row) {
  if (kind == ActivationKind::kF32) {
    std::memcpy(row + first_col * sizeof(float), x, n_cols * sizeof(float));
  } else {
    QUERN_DCHECK(first_col % kActivationBlock == 0 && n_cols % kActivationBlock == 0);
    row += first_col / kActivationBlock * sizeof(ActivationBlock);
    HWY_DYNAMIC_DISPATCH(QuantizeActivations)(x, n_cols, row);
  }
}

}  // namespace quern
#endif  // HWY_ONCE
