#include "tools/quantize/quantization_recipe.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <charconv>
#include <string>

namespace quern {
namespace {

using Mix = QuantizationRecipe::Mix;

// File types are numbered by llama.cpp, where a mix and its base type have numbers of their own.
constexpr std::array<QuantizationRecipe, 13> kRecipes = {{
    {"F32", GgmlType::kF32, Mix::kNone, 0},
    {"F16", GgmlType::kF16, Mix::kNone, 1},
    {"BF16", GgmlType::kBF16, Mix::kNone, 32},
    {"Q8_0", GgmlType::kQ8_0, Mix::kNone, 7},
    {"Q4_0", GgmlType::kQ4_0, Mix::kOutput, 2},
    {"Q4_1", GgmlType::kQ4_1, Mix::kOutput, 3},
    {"Q5_0", GgmlType::kQ5_0, Mix::kOutput, 8},
    {"Q5_1", GgmlType::kQ5_1, Mix::kOutput, 9},
    {"Q4_K_S", GgmlType::kQ4_K, Mix::kSmall, 14},
    {"Q4_K_M", GgmlType::kQ4_K, Mix::kMedium, 15},
    {"Q5_K_S", GgmlType::kQ5_K, Mix::kOutput, 16},
    {"Q5_K_M", GgmlType::kQ5_K, Mix::kMedium, 17},
    {"Q6_K", GgmlType::kQ6_K, Mix::kOutput, 18},
}};

bool EndsWith(const TensorInfo& tensor, std::string_view suffix) {
  return tensor.name.ends_with(suffix);
}

// Matrices of weights; norms and the small gates of experts stay as they are.
bool IsQuantizedMatrix(const TensorInfo& tensor) {
  return tensor.n_dims >= 2 && EndsWith(tensor, "weight") && !EndsWith(tensor, "_norm.weight") &&
         !EndsWith(tensor, "ffn_gate_inp.weight");
}

// Layer of "blk.N.…"; 0 for a name without one.
uint32_t LayerOf(std::string_view name) {
  constexpr std::string_view kPrefix = "blk.";
  uint32_t layer = 0;
  if (name.starts_with(kPrefix)) {
    std::from_chars(name.data() + kPrefix.size(), name.data() + name.size(), layer);
  }
  return layer;
}

// The half of the layers that a medium mix keeps finer: the first and last eighth, and every third
// between.
bool IsFinerLayer(uint32_t layer, uint32_t n_layer) {
  const uint32_t eighth = n_layer / 8;
  return layer < eighth || layer >= 7 * n_layer / 8 || (layer - eighth) % 3 == 2;
}

GgmlType MixedType(const QuantizationRecipe& recipe, const QuantizedModelShape& shape,
                   const TensorInfo& tensor) {
  if (recipe.mix == Mix::kNone) return recipe.type;
  const bool is_output =
      tensor.name == "output.weight" || (shape.tied_output && tensor.name == "token_embd.weight");
  if (is_output) return GgmlType::kQ6_K;
  if (EndsWith(tensor, "attn_qkv.weight")) {
    if (recipe.mix != Mix::kMedium) return recipe.type;
    return recipe.type == GgmlType::kQ4_K ? GgmlType::kQ5_K : GgmlType::kQ6_K;
  }
  const bool is_attn_v = EndsWith(tensor, "attn_v.weight");
  if (!is_attn_v && !EndsWith(tensor, "ffn_down.weight")) return recipe.type;

  const uint32_t layer = LayerOf(tensor.name);
  if (recipe.mix == Mix::kMedium && IsFinerLayer(layer, shape.n_layer)) return GgmlType::kQ6_K;
  if (recipe.mix == Mix::kSmall && layer < (is_attn_v ? 4 : shape.n_layer / 8)) {
    return GgmlType::kQ5_K;
  }
  if (is_attn_v && shape.wide_groups && recipe.type == GgmlType::kQ4_K) return GgmlType::kQ5_K;
  return recipe.type;
}

// A type of about the same precision whose blocks divide a row of `n_cols`.
GgmlType FittingType(GgmlType type, uint64_t n_cols) {
  const auto fits = [n_cols](GgmlType t) { return n_cols % TraitsOf(t).block_elements == 0; };
  if (fits(type)) return type;
  if (type == GgmlType::kQ4_K) type = GgmlType::kQ5_0;
  if (type == GgmlType::kQ5_K) type = GgmlType::kQ5_1;
  if (type == GgmlType::kQ6_K) type = GgmlType::kQ8_0;
  return fits(type) ? type : GgmlType::kF16;
}

}  // namespace

std::span<const QuantizationRecipe> QuantizationRecipes() { return kRecipes; }

const QuantizationRecipe* FindQuantizationRecipe(std::string_view name) {
  std::string upper(name);
  for (char& c : upper) c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  if (upper == "Q4_K" || upper == "Q5_K") upper += "_S";
  const auto* found = std::ranges::find(kRecipes, upper, &QuantizationRecipe::name);
  return found == kRecipes.end() ? nullptr : found;
}

QuantizedModelShape QuantizedModelShape::Of(const GgufFile& file) {
  const std::string architecture(
      file.GetStringOr("general.architecture", "").value_or(std::string_view()));
  const auto read = [&](std::string_view key) {
    return file.GetUintOr(architecture + std::string(key), 0).value_or(0);
  };
  QuantizedModelShape shape;
  shape.n_layer = static_cast<uint32_t>(read(".block_count"));
  shape.tied_output = file.FindTensor("output.weight") == nullptr;
  const uint64_t n_head = read(".attention.head_count");
  const uint64_t n_head_kv = read(".attention.head_count_kv");
  shape.wide_groups = shape.n_layer == 80 && n_head_kv != 0 && n_head_kv != n_head;
  return shape;
}

GgmlType ChooseTensorType(const QuantizationRecipe& recipe, bool pure,
                          const QuantizedModelShape& shape, const TensorInfo& tensor) {
  if (!IsQuantizedMatrix(tensor)) return tensor.type;
  const GgmlType type = pure ? recipe.type : MixedType(recipe, shape, tensor);
  return FittingType(type, tensor.n_cols());
}

}  // namespace quern
