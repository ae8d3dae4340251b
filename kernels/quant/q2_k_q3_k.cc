// Kernels of Q2_K and Q3_K.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/quant/q2_k_q3_k.cc"
#include "hwy/foreach_target.h"  // IWYU pragma: keep
// After foreach_target.
#include "kernels/quant/q2_k_q3_k-inl.h"
#include "kernels/weight_kernels.h"

HWY_BEFORE_NAMESPACE();
namespace quern::HWY_NAMESPACE {

const WeightKernels& Q2KKernels() { return kQuantKernels<Q2KCodec>; }
const WeightKernels& Q3KKernels() { return kQuantKernels<Q3KCodec>; }

}  // namespace quern::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace quern {

HWY_EXPORT(Q2KKernels);
HWY_EXPORT(Q3KKernels);

const WeightKernels& Q2KKernels() { return HWY_DYNAMIC_DISPATCH(Q2KKernels)(); }
const WeightKernels& Q3KKernels() { return HWY_DYNAMIC_DISPATCH(Q3KKernels)(); }

}  // namespace quern
#endif  // HWY_ONCE
