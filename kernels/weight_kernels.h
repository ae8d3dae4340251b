// The functions that a runnable weight type supplies, and the list of the types.
#pragma once

#include <cstddef>

#include "kernels/matmul.h"

namespace quern {

/// One weight type's kernels on one SIMD target; see MatMul, PackGroup and DequantizePackedRow.
struct WeightKernels {
  void (*mat_mul)(const MatMulArgs& args);
  void (*pack_group)(size_t n_cols, size_t n_rows, const std::byte* rows, std::byte* packed);
  void (*dequantize_row)(size_t n_cols, const std::byte* packed, size_t row, float* out);
};

// Each returns its type's kernels for the chosen target.
#define WEIGHT_TYPE(enumerator, activation_kind, Kernels) const WeightKernels& Kernels();
#include "kernels/quant_types.inc"
#undef WEIGHT_TYPE

}  // namespace quern
