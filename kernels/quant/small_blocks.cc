// Kernels of Q4_0, Q4_1, Q5_0, Q5_1 and Q8_0.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/quant/small_blocks.cc"
#include "hwy/foreach_target.h"  // IWYU pragma: keep
// After foreach_target.
#include "kernels/quant/small_blocks-inl.h"
#include "kernels/weight_kernels.h"

HWY_BEFORE_NAMESPACE();
namespace quern::HWY_NAMESPACE {

const WeightKernels& Q4_0Kernels() { return kQuantKernels<Q4_0Codec>; }
const WeightKernels& Q4_1Kernels() { return kQuantKernels<Q4_1Codec>; }
const WeightKernels& Q5_0Kernels() { return kQuantKernels<Q5_0Codec>; }
const WeightKernels& Q5_1Kernels() { return kQuantKernels<Q5_1Codec>; }
const WeightKernels& Q8_0Kernels() { return kQuantKernels<Q8_0Codec>; }

}  // namespace quern::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace quern {

HWY_EXPORT(Q4_0Kernels);
HWY_EXPORT(Q4_1Kernels);
HWY_EXPORT(Q5_0Kernels);
HWY_EXPORT(Q5_1Kernels);
HWY_EXPORT(Q8_0Kernels);

const WeightKernels& Q4_0Kernels() { return HWY_DYNAMIC_DISPATCH(Q4_0Kernels)(); }
const WeightKernels& Q4_1Kernels() { return HWY_DYNAMIC_DISPATCH(Q4_1Kernels)(); }
const WeightKernels& Q5_0Kernels() { return HWY_DYNAMIC_DISPATCH(Q5_0Kernels)(); }
const WeightKernels& Q5_1Kernels() { return HWY_DYNAMIC_DISPATCH(Q5_1Kernels)(); }
const WeightKernels& Q8_0Kernels() { return HWY_DYNAMIC_DISPATCH(Q8_0Kernels)(); }

}  // namespace quern
#endif  // HWY_ONCE
