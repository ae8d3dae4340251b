#include "kernels/matmul.h"

#include "gguf/base/check.h"
#include "kernels/activations.h"
#include "kernels/weight_kernels.h"

namespace quern {
namespace {

constexpr GgmlType kRunnable[] = {
#define WEIGHT_TYPE(enumerator, activation_kind, Kernels) GgmlType::enumerator,
#include "kernels/quant_types.inc"
#undef WEIGHT_TYPE
};

const WeightKernels& KernelsOf(GgmlType type) {
  switch (type) {
#define WEIGHT_TYPE(enumerator, activation_kind, Kernels) \
  case GgmlType::enumerator:                              \
    return Kernels();
#include "kernels/quant_types.inc"
#undef WEIGHT_TYPE
    default:
      break;
  }
  QUERN_DCHECK(!"runnable type");
  return F32Kernels();
}

}  // namespace

std::span<const GgmlType> RunnableTypes() { return kRunnable; }

bool IsRunnable(GgmlType type) {
  for (const GgmlType runnable : kRunnable) {
    if (runnable == type) return true;
  }
  return false;
}

ActivationKind ActivationKindOf(GgmlType type) {
  switch (type) {
#define WEIGHT_TYPE(enumerator, activation_kind, Kernels) \
  case GgmlType::enumerator:                              \
    return ActivationKind::activation_kind;
#include "kernels/quant_types.inc"
#undef WEIGHT_TYPE
    default:
      break;
  }
  QUERN_DCHECK(!"runnable type");
  return ActivationKind::kF32;
}

size_t PackedGroupBytes(GgmlType type, size_t n_cols) { return kRowGroup * RowBytes(type, n_cols); }

void PackGroup(GgmlType type, size_t n_cols, size_t n_rows, const std::byte* rows,
               std::byte* packed) {
  QUERN_DCHECK(n_rows >= 1 && n_rows <= kRowGroup);
  QUERN_DCHECK(n_cols % TraitsOf(type).block_elements == 0);
  KernelsOf(type).pack_group({.type = type,
                              .layout = WeightLayout::kRows,
                              .n_rows = n_rows,
                              .n_cols = n_cols,
                              .data = rows},
                             packed);
}

void DequantizeRow(const WeightMatrix& w, size_t row, float* out) {
  QUERN_DCHECK(row < w.n_rows);
  QUERN_DCHECK(w.n_cols % TraitsOf(w.type).block_elements == 0);
  KernelsOf(w.type).dequantize_row(w, row, out);
}

size_t ActivationRowBytes(ActivationKind kind, size_t n_cols) {
  size_t bytes = n_cols * sizeof(float);
  if (kind == ActivationKind::kQ8) {
    QUERN_DCHECK(n_cols % kActivationBlock == 0);
    bytes = n_cols / kActivationBlock * sizeof(ActivationBlock);
  }
  // An odd number of cache lines spreads the same column of many rows over all sets of the caches.
  const size_t lines = (bytes + 63) / 64;
  return (lines | 1) * 64;
}

void MatMul(const MatMulArgs& args) {
  QUERN_DCHECK(args.group_begin <= args.group_end && args.group_end <= args.w.n_groups());
  QUERN_DCHECK(args.w.n_cols % TraitsOf(args.w.type).block_elements == 0);
  KernelsOf(args.w.type).mat_mul(args);
}

}  // namespace quern
