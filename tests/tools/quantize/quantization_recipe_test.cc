#include "tools/quantize/quantization_recipe.h"

#include <gtest/gtest.h>

#include <set>
#include <string>
#include <vector>

namespace quern {
namespace {

TensorInfo Matrix(std::string_view name, uint64_t n_cols = 4096) {
  return {name, GgmlType::kF16, 2, {n_cols, 8, 1, 1}, {}, 0};
}

GgmlType TypeOf(std::string_view recipe, std::string_view tensor, uint32_t n_layer = 32,
                bool tied = false) {
  return ChooseTensorType(*FindQuantizationRecipe(recipe), false,
                          {.n_layer = n_layer, .tied_output = tied}, Matrix(tensor));
}

std::set<uint32_t> LayersOf(GgmlType type, std::string_view recipe, const std::string& suffix,
                            uint32_t n_layer) {
  std::set<uint32_t> layers;
  for (uint32_t i = 0; i < n_layer; ++i) {
    const std::string name = "blk." + std::to_string(i) + suffix;
    if (TypeOf(recipe, name, n_layer) == type) layers.insert(i);
  }
  return layers;
}

TEST(QuantizationRecipeTest, FoundByNameInAnyCase) {
  EXPECT_EQ(FindQuantizationRecipe("q4_k_m")->name, "Q4_K_M");
  EXPECT_EQ(FindQuantizationRecipe("Q4_K")->name, "Q4_K_S");
  EXPECT_EQ(FindQuantizationRecipe("q5_k")->name, "Q5_K_S");
  EXPECT_EQ(FindQuantizationRecipe("Q6_K")->file_type, 18U);
  EXPECT_EQ(FindQuantizationRecipe("IQ2_XS"), nullptr);
  EXPECT_EQ(FindQuantizationRecipe(""), nullptr);
}

// The layers of Llama-3.1-8B's published Q4_K_M file.
TEST(QuantizationRecipeTest, Q4KMOf32Layers) {
  const std::set<uint32_t> finer = {0, 1, 2, 3, 6, 9, 12, 15, 18, 21, 24, 27, 28, 29, 30, 31};
  EXPECT_EQ(LayersOf(GgmlType::kQ6_K, "Q4_K_M", ".attn_v.weight", 32), finer);
  EXPECT_EQ(LayersOf(GgmlType::kQ6_K, "Q4_K_M", ".ffn_down.weight", 32), finer);
  EXPECT_EQ(LayersOf(GgmlType::kQ4_K, "Q4_K_M", ".ffn_down.weight", 32).size(), 16U);
  for (const std::string suffix : {".attn_q.weight", ".attn_k.weight", ".attn_output.weight",
                                   ".ffn_gate.weight", ".ffn_up.weight"}) {
    EXPECT_EQ(LayersOf(GgmlType::kQ4_K, "Q4_K_M", suffix, 32).size(), 32U) << suffix;
  }
  EXPECT_EQ(LayersOf(GgmlType::kQ5_K, "Q4_K_M", ".attn_qkv.weight", 32).size(), 32U);
}

TEST(QuantizationRecipeTest, Q4KMOfOtherDepths) {
  EXPECT_EQ(LayersOf(GgmlType::kQ6_K, "Q4_K_M", ".attn_v.weight", 16),
            (std::set<uint32_t>{0, 1, 4, 7, 10, 13, 14, 15}));
  EXPECT_EQ(LayersOf(GgmlType::kQ6_K, "Q4_K_M", ".attn_v.weight", 6), (std::set<uint32_t>{2, 5}));
  EXPECT_EQ(LayersOf(GgmlType::kQ6_K, "Q4_K_M", ".attn_v.weight", 1), (std::set<uint32_t>{0}));
}

TEST(QuantizationRecipeTest, OutputMatrixIsFiner) {
  for (const std::string recipe : {"Q4_0", "Q4_K_S", "Q4_K_M", "Q5_K_S", "Q5_K_M", "Q6_K"}) {
    EXPECT_EQ(TypeOf(recipe, "output.weight"), GgmlType::kQ6_K) << recipe;
    EXPECT_EQ(TypeOf(recipe, "token_embd.weight"), FindQuantizationRecipe(recipe)->type) << recipe;
    EXPECT_EQ(TypeOf(recipe, "token_embd.weight", 16, true), GgmlType::kQ6_K) << recipe;
  }
  EXPECT_EQ(TypeOf("Q8_0", "output.weight"), GgmlType::kQ8_0);
  EXPECT_EQ(TypeOf("BF16", "output.weight"), GgmlType::kBF16);
}

TEST(QuantizationRecipeTest, SmallMix) {
  EXPECT_EQ(LayersOf(GgmlType::kQ5_K, "Q4_K_S", ".attn_v.weight", 24),
            (std::set<uint32_t>{0, 1, 2, 3}));
  EXPECT_EQ(LayersOf(GgmlType::kQ5_K, "Q4_K_S", ".ffn_down.weight", 24),
            (std::set<uint32_t>{0, 1, 2}));
  EXPECT_EQ(LayersOf(GgmlType::kQ5_K, "Q5_K_S", ".attn_v.weight", 24).size(), 24U);
}

TEST(QuantizationRecipeTest, WideGroupsRaiseAttnV) {
  const QuantizedModelShape shape = {.n_layer = 80, .tied_output = false, .wide_groups = true};
  const QuantizationRecipe& recipe = *FindQuantizationRecipe("Q4_K_M");
  EXPECT_EQ(ChooseTensorType(recipe, false, shape, Matrix("blk.10.attn_v.weight")),
            GgmlType::kQ5_K);
  EXPECT_EQ(ChooseTensorType(recipe, false, shape, Matrix("blk.12.attn_v.weight")),
            GgmlType::kQ6_K);
  EXPECT_EQ(ChooseTensorType(recipe, false, shape, Matrix("blk.10.ffn_down.weight")),
            GgmlType::kQ4_K);
}

TEST(QuantizationRecipeTest, PureGivesEveryMatrixTheType) {
  const QuantizedModelShape shape = {.n_layer = 32, .tied_output = true};
  const QuantizationRecipe& recipe = *FindQuantizationRecipe("Q4_K_M");
  for (const char* name : {"output.weight", "token_embd.weight", "blk.0.attn_v.weight"}) {
    EXPECT_EQ(ChooseTensorType(recipe, true, shape, Matrix(name)), GgmlType::kQ4_K) << name;
  }
}

TEST(QuantizationRecipeTest, RowsThatDoNotFillBlocks) {
  const auto type_of = [](const char* recipe, const char* name, uint64_t n_cols) {
    return ChooseTensorType(*FindQuantizationRecipe(recipe), false, {.n_layer = 8},
                            Matrix(name, n_cols));
  };
  EXPECT_EQ(type_of("Q4_K_M", "blk.1.attn_q.weight", 2880), GgmlType::kQ5_0);
  EXPECT_EQ(type_of("Q5_K", "blk.1.attn_q.weight", 2880), GgmlType::kQ5_1);
  EXPECT_EQ(type_of("Q6_K", "blk.1.attn_q.weight", 2880), GgmlType::kQ8_0);
  EXPECT_EQ(type_of("Q4_K_M", "output.weight", 2880), GgmlType::kQ8_0);
  EXPECT_EQ(type_of("Q4_K_M", "blk.1.attn_q.weight", 100), GgmlType::kF16);
  EXPECT_EQ(type_of("Q8_0", "blk.1.attn_q.weight", 100), GgmlType::kF16);
  EXPECT_EQ(type_of("BF16", "blk.1.attn_q.weight", 100), GgmlType::kBF16);
}

TEST(QuantizationRecipeTest, WhatIsNoMatrixOfWeightsStays) {
  const QuantizationRecipe& recipe = *FindQuantizationRecipe("Q4_K_M");
  const auto type_of = [&](const TensorInfo& tensor) {
    return ChooseTensorType(recipe, false, {.n_layer = 8}, tensor);
  };
  const TensorInfo norm = {"blk.0.attn_norm.weight", GgmlType::kF32, 1, {4096, 1, 1, 1}, {}, 0};
  EXPECT_EQ(type_of(norm), GgmlType::kF32);
  EXPECT_EQ(type_of(Matrix("blk.0.attn_q_norm.weight")), GgmlType::kF16);
  EXPECT_EQ(type_of(Matrix("blk.0.ffn_gate_inp.weight")), GgmlType::kF16);
  EXPECT_EQ(type_of(Matrix("blk.0.attn_q.bias")), GgmlType::kF16);
}

}  // namespace
}  // namespace quern
