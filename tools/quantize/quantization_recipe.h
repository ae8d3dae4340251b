// Which type each tensor of a quantized model gets: the mixes that GGUF files are known by.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "gguf/gguf_file.h"

namespace quern {

/// A way to quantize a whole model, by the name that people use for its files.
struct QuantizationRecipe {
  enum class Mix : uint8_t {
    kNone,    ///< every matrix alike
    kOutput,  ///< the output matrix finer
    kSmall,   ///< and the first layers' attn_v and ffn_down one bit finer: Q4_K_S
    kMedium,  ///< and attn_v and ffn_down of half of the layers in Q6_K: Q4_K_M
  };

  std::string_view name;
  GgmlType type;  ///< of most matrices
  Mix mix;
  uint32_t file_type;  ///< value of general.file_type
};

std::span<const QuantizationRecipe> QuantizationRecipes();

/// The recipe of this name in any case, or null. "Q4_K" is Q4_K_S and "Q5_K" is Q5_K_S.
const QuantizationRecipe* FindQuantizationRecipe(std::string_view name);

/// What the choice of types depends on besides a tensor itself.
struct QuantizedModelShape {
  uint32_t n_layer = 0;
  bool tied_output = false;  ///< no output.weight: token_embd.weight serves as the output matrix
  bool wide_groups = false;  ///< 80 layers with grouped queries (the 70B models): attn_v is small,
                             ///< so a finer type is cheap

  static QuantizedModelShape Of(const GgufFile& file);
};

/// The type for `tensor`: its own when it is no matrix of weights, else the recipe's, or a near
/// type of smaller blocks when its rows do not fill whole blocks. With `pure` every matrix gets the
/// recipe's type.
GgmlType ChooseTensorType(const QuantizationRecipe& recipe, bool pure,
                          const QuantizedModelShape& shape, const TensorInfo& tensor);

}  // namespace quern
