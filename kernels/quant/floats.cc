// Kernels of F32, F16 and BF16.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/quant/floats.cc"
#include "hwy/foreach_target.h"  // IWYU pragma: keep
// After foreach_target.
#include "kernels/float_matmul-inl.h"

HWY_BEFORE_NAMESPACE();
namespace quern::HWY_NAMESPACE {

struct F32Codec {
  using Element = float;
  static HWY_INLINE VF Load(const Element* rows) { return hn::LoadU(DF(), rows); }
};

struct F16Codec {
  using Element = uint16_t;
  static HWY_INLINE VF Load(const Element* rows) { return LoadHalves(rows); }
};

struct Bf16Codec {
  using Element = uint16_t;
  static HWY_INLINE VF Load(const Element* rows) {
    // The upper half of a float.
    const auto bits =
        hn::PromoteTo(hn::RebindToUnsigned<DF>(), hn::LoadU(hn::Rebind<uint16_t, DF>(), rows));
    return hn::BitCast(DF(), hn::ShiftLeft<16>(bits));
  }
};

const WeightKernels& F32Kernels() { return kFloatKernels<F32Codec>; }
const WeightKernels& F16Kernels() { return kFloatKernels<F16Codec>; }
const WeightKernels& Bf16Kernels() { return kFloatKernels<Bf16Codec>; }

}  // namespace quern::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace quern {

HWY_EXPORT(F32Kernels);
HWY_EXPORT(F16Kernels);
HWY_EXPORT(Bf16Kernels);

const WeightKernels& F32Kernels() { return HWY_DYNAMIC_DISPATCH(F32Kernels)(); }
const WeightKernels& F16Kernels() { return HWY_DYNAMIC_DISPATCH(F16Kernels)(); }
const WeightKernels& Bf16Kernels() { return HWY_DYNAMIC_DISPATCH(Bf16Kernels)(); }

}  // namespace quern
#endif  // HWY_ONCE
