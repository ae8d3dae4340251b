// Scalar oracles: what each GGUF block means, written straight from the format, for tests and
// loaders of odd tensors.
#pragma once

#include <cstddef>

#include "gguf/ggml_type.h"

namespace quern {

/// Types that DequantizeRow reads: all that run.
bool IsDequantizable(GgmlType type);

/// Dequantizes `n_cols` weights of a GGUF row of such a type.
void DequantizeRow(GgmlType type, const std::byte* row, size_t n_cols, float* out);

}  // namespace quern
