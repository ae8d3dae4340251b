// Kernels of IQ4_NL and IQ4_XS.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/quant/iq4.cc"
#include "hwy/foreach_target.h"  // IWYU pragma: keep
// After foreach_target.
#include "kernels/quant/iq4-inl.h"
#include "kernels/weight_kernels.h"

HWY_BEFORE_NAMESPACE();
namespace quern::HWY_NAMESPACE {

const WeightKernels& Iq4NlKernels() { return kQuantKernels<Iq4NlCodec>; }
const WeightKernels& Iq4XsKernels() { return kQuantKernels<Iq4XsCodec>; }

}  // namespace quern::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace quern {

HWY_EXPORT(Iq4NlKernels);
HWY_EXPORT(Iq4XsKernels);

const WeightKernels& Iq4NlKernels() { return HWY_DYNAMIC_DISPATCH(Iq4NlKernels)(); }
const WeightKernels& Iq4XsKernels() { return HWY_DYNAMIC_DISPATCH(Iq4XsKernels)(); }

}  // namespace quern
#endif  // HWY_ONCE
