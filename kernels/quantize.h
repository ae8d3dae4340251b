// Quantization of float rows to GGUF blocks with a weighted error search.
#pragma once

#include <cstddef>
#include <span>

#include "gguf/ggml_type.h"

namespace quern {

/// Types that QuantizeRow writes.
std::span<const GgmlType> QuantizableTypes();
bool IsQuantizable(GgmlType type);

/// Largest absolute value that the type can hold. QuantizeRow clips larger ones.
float LargestMagnitude(GgmlType type);

/// Quantizes one row of `n_cols` finite floats (a multiple of the block size) to `row`,
/// RowBytes(type, n_cols) bytes, with little squared error. `importance` (finite, not negative)
/// weighs the error of each column; null weighs all alike. The bytes are the same on every machine
/// and SIMD target.
void QuantizeRow(GgmlType type, const float* x, const float* importance, size_t n_cols,
                 std::byte* row);

}  // namespace quern
