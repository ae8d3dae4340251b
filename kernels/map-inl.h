// Elementwise loops over float arrays; compiled once per SIMD target.
#if defined(QUERN_KERNELS_MAP_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef QUERN_KERNELS_MAP_INL_H_
#undef QUERN_KERNELS_MAP_INL_H_
#else
#define QUERN_KERNELS_MAP_INL_H_
#endif

#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace quern::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

/// out[i] = f(in[i]...) for n floats; f takes and gives vectors. `out` may be one of `in`.
/// Elementwise, so every target gives the same bits wherever its MulAdd is fused.
template <class F, class... In>
HWY_INLINE void Map(size_t n, float* out, const F& f, const In*... in) {
  const hn::ScalableTag<float> d;
  const size_t lanes = hn::Lanes(d);
  size_t i = 0;
  for (; i + lanes <= n; i += lanes) hn::StoreU(f(hn::LoadU(d, in + i)...), d, out + i);
  if (i < n) hn::StoreN(f(hn::LoadN(d, in + i, n - i)...), d, out + i, n - i);
}

}  // namespace quern::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // QUERN_KERNELS_MAP_INL_H_
