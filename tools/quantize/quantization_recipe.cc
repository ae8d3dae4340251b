#include "tools/quantize/quantization_recipe.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <optional>
#include <string>

#include "runtime/model/tensor_role.h"

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

// Matrices of weights; norms, biases and routers stay as they are. So do the vectors of roles that
// are not known yet, by their names.
bool IsQuantizedMatrix(const TensorInfo& tensor, const std::optional<TensorPlace>& place) {
  if (tensor.n_dims < 2) return false;
  if (place) return UseOf(place->role) == TensorUse::kMatrix;
  return tensor.name.ends_with("weight") && !tensor.name.ends_with("_norm.weight");
}

// The half of the layers that a medium mix keeps finer: the first and last eighth, and every third
// between.
bool IsFinerLayer(uint32_t layer, uint32_t n_layer) {
  const uint32_t eighth = n_layer / 8;
  return layer < eighth || layer >= 7 * n_layer / 8 || (layer - eighth) % 3 == 2;
}

GgmlType MixedType(const QuantizationRecipe& recipe, const QuantizedModelShape& shape,
                   const std::optional<TensorPlace>& place) {
  if (recipe.mix == Mix::kNone || !place) return recipe.type;
  switch (place->role) {
    case TensorRole::kOutput:
      return GgmlType::kQ6_K;
    case TensorRole::kTokenEmbd:
      return shape.tied_output ? GgmlType::kQ6_K : recipe.type;
    case TensorRole::kAttnQkv:
      if (recipe.mix != Mix::kMedium) return recipe.type;
      return recipe.type == GgmlType::kQ4_K ? GgmlType::kQ5_K : GgmlType::kQ6_K;
    case TensorRole::kAttnV:
    case TensorRole::kFfnDown:
      break;
    default:
      return recipe.type;
  }
  const bool is_attn_v = place->role == TensorRole::kAttnV;
  const uint32_t layer = place->layer;
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
  shape.tied_output = file.FindTensor(NameOf(TensorRole::kOutput)) == nullptr;
  const uint64_t n_head = read(".attention.head_count");
  const uint64_t n_head_kv = read(".attention.head_count_kv");
  shape.wide_groups = shape.n_layer == 80 && n_head_kv != 0 && n_head_kv != n_head;
  return shape;
}

GgmlType ChooseTensorType(const QuantizationRecipe& recipe, bool pure,
                          const QuantizedModelShape& shape, const TensorInfo& tensor) {
  const std::optional<TensorPlace> place = ParseTensorName(tensor.name);
  if (!IsQuantizedMatrix(tensor, place)) return tensor.type;
  const GgmlType type = pure ? recipe.type : MixedType(recipe, shape, place);
  return FittingType(type, tensor.n_cols());
}

}  // namespace quern
