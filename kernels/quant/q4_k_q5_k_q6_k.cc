// Kernels of Q4_K, Q5_K and Q6_K.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/quant/q4_k_q5_k_q6_k.cc"
#include "hwy/foreach_target.h"  // IWYU pragma: keep
// After foreach_target.
#include "kernels/quant/q4_k-inl.h"
#include "kernels/quant/q5_k-inl.h"
#include "kernels/quant/q6_k-inl.h"
#include "kernels/weight_kernels.h"

HWY_BEFORE_NAMESPACE();
namespace quern::HWY_NAMESPACE {

const WeightKernels& Q4KKernels() { return kQuantKernels<Q4KCodec>; }
const WeightKernels& Q5KKernels() { return kQuantKernels<Q5KCodec>; }
const WeightKernels& Q6KKernels() { return kQuantKernels<Q6KCodec>; }

}  // namespace quern::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace quern {

HWY_EXPORT(Q4KKernels);
HWY_EXPORT(Q5KKernels);
HWY_EXPORT(Q6KKernels);

const WeightKernels& Q4KKernels() { return HWY_DYNAMIC_DISPATCH(Q4KKernels)(); }
const WeightKernels& Q5KKernels() { return HWY_DYNAMIC_DISPATCH(Q5KKernels)(); }
const WeightKernels& Q6KKernels() { return HWY_DYNAMIC_DISPATCH(Q6KKernels)(); }

}  // namespace quern
#endif  // HWY_ONCE
