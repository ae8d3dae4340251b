// Quantization of float rows to GGUF blocks with a weighted error search.
#pragma once

#include <cstddef>
#include <span>

#include "gguf/ggml_type.h"

namespace quern {

/// Types that QuantizeRow writes.
std::span<const GgmlType> QuantizableTypes();
bool IsQuantizable(GgmlType type);

/// Quantizes one row of `n_cols` floats (a multiple of the block size) to `row`, RowBytes(type, n_cols) bytes.
/// `importance` weighs the squared error of each column; null weighs by the values themselves.
void QuantizeRow(GgmlType type, const float* x, const float* importance, size_t n_cols,
                 std::byte* row);

}  // namespace quern
