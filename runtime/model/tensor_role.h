// What a tensor is for, and how GGUF files name it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace quern {

enum class TensorUse : uint8_t {
  kMatrix,        ///< multiplied with, or looked up by rows; of any type
  kRouter,        ///< a matrix that chooses experts: too small to be quantized
  kNorm,          ///< weights of a norm
  kBias,          ///< added to a product
  kRopeDivisors,  ///< of RoPE's frequencies
};

enum class TensorRole : uint8_t {
#define TENSOR_ROLE(role, name, of_layer, use) role,
#include "runtime/model/tensor_roles.inc"
#undef TENSOR_ROLE
};

inline constexpr size_t kTensorRoles = 0
#define TENSOR_ROLE(role, name, of_layer, use) +1
#include "runtime/model/tensor_roles.inc"
#undef TENSOR_ROLE
    ;

std::string_view NameOf(TensorRole role);
TensorUse UseOf(TensorRole role);
bool IsOfLayer(TensorRole role);

/// The name in a file: "blk.3.attn_q.weight". `layer` counts only for roles of layers.
std::string TensorName(TensorRole role, uint32_t layer);

/// A name read: what TensorName would make it of.
struct TensorPlace {
  TensorRole role;
  uint32_t layer = 0;  ///< 0 for roles outside the layers
};

/// Nothing for names that are no role's.
std::optional<TensorPlace> ParseTensorName(std::string_view name);

}  // namespace quern
