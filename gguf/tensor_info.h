// What a GGUF file says of a tensor, and where its bytes are.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "gguf/ggml_type.h"

namespace quern {

/// A tensor of the file. shape[0] is the row length (columns, the fastest dimension); absent
/// dimensions are 1.
struct TensorInfo {
  std::string_view name;
  GgmlType type;
  uint32_t n_dims;
  std::array<uint64_t, 4> shape;
  std::span<const std::byte> data;  ///< checked to lie inside the file
  uint32_t split;                   ///< index of the file of a split set that holds it

  uint64_t n_cols() const { return shape[0]; }
  uint64_t n_rows() const { return shape[1] * shape[2] * shape[3]; }
  uint64_t n_elements() const { return shape[0] * n_rows(); }
};

}  // namespace quern
