// The functions that a runnable weight type supplies, and the list of the types.
#pragma once

#include <cstddef>

#include "kernels/matmul.h"

namespace quern {

/// One weight type's kernels on one SIMD target; see MatMul, PackGroup and DequantizeRow.
struct WeightKernels {
  void (*mat_mul)(const MatMulArgs& args);
  void (*pack_group)(const WeightMatrix& rows, std::byte* packed);
  void (*dequantize_row)(const WeightMatrix& w, size_t row, float* out);
};

// Each returns its type's kernels for the chosen target.
#define WEIGHT_TYPE(enumerator, activation_kind, Kernels) const WeightKernels& Kernels();
#include "kernels/quant_types.inc"
#undef WEIGHT_TYPE

}  // namespace quern
