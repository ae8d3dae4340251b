#include "runtime/model/tensor_table.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <optional>
#include <string>
#include <string_view>

#include "runtime/model/architecture.h"
#include "runtime/model/hparams.h"

namespace quern {
namespace {

HParams Described(std::string_view architecture) {
  LayerSpec layer;
  layer.attention = {.n_head = 4, .n_head_kv = 2, .k_dim = 8, .v_dim = 8, .rope = 0};
  layer.ffn.n_ff = 100;
  HParams hparams;
  hparams.architecture = *std::ranges::find(Architectures(), architecture, &Architecture::name);
  hparams.n_vocab = 1000;
  hparams.n_embd = 24;
  hparams.ropes.push_back({.n_rot = 6});
  hparams.layers.assign(2, layer);
  return hparams;
}

std::optional<ModelTensor> Find(const HParams& hparams, const std::string& name) {
  const auto tensors = TensorsOf(hparams);
  const auto found =
      std::ranges::find_if(tensors, [&](const ModelTensor& t) { return t.name() == name; });
  return found == tensors.end() ? std::nullopt : std::optional(*found);
}

void ExpectShape(const HParams& hparams, const std::string& name, uint64_t n_cols,
                 uint64_t n_rows) {
  const auto tensor = Find(hparams, name);
  ASSERT_TRUE(tensor) << name;
  EXPECT_EQ(tensor->n_cols, n_cols) << name;
  EXPECT_EQ(tensor->n_rows, n_rows) << name;
}

TEST(TensorTable, ShapesFollowTheHyperparameters) {
  const HParams hparams = Described("llama");
  ExpectShape(hparams, "token_embd.weight", 24, 1000);
  ExpectShape(hparams, "rope_freqs.weight", 3, 1);
  ExpectShape(hparams, "blk.1.attn_q.weight", 24, 32);
  ExpectShape(hparams, "blk.1.attn_k.weight", 24, 16);
  ExpectShape(hparams, "blk.1.attn_output.weight", 32, 24);
  ExpectShape(hparams, "blk.0.ffn_down.weight", 100, 24);
  EXPECT_FALSE(Find(hparams, "blk.2.attn_q.weight"));
  EXPECT_TRUE(Find(hparams, "output.weight")->optional);
  EXPECT_TRUE(Find(hparams, "blk.0.attn_q.bias")->optional);
}

TEST(TensorTable, FamiliesSayWhatTheyHave) {
  const HParams qwen2 = Described("qwen2");
  ExpectShape(qwen2, "blk.0.attn_q.bias", 32, 1);
  ExpectShape(qwen2, "blk.0.attn_v.bias", 16, 1);
  EXPECT_FALSE(Find(qwen2, "blk.0.attn_k.bias")->optional);
}

/// Norms follow the layer: those that it does not have are no tensors.
TEST(TensorTable, NormsFollowTheLayer) {
  HParams hparams = Described("llama");
  EXPECT_TRUE(Find(hparams, "blk.1.attn_norm.weight"));
  EXPECT_FALSE(Find(hparams, "blk.1.post_attention_norm.weight"));
  EXPECT_FALSE(Find(hparams, "blk.1.attn_q_norm.weight"));
  hparams.layers[1].attention_norms = {.before = false, .after = true};
  hparams.layers[1].attention.qk_norm = QkNorm::kHead;
  EXPECT_FALSE(Find(hparams, "blk.1.attn_norm.weight"));
  ExpectShape(hparams, "blk.1.post_attention_norm.weight", 24, 1);
  ExpectShape(hparams, "blk.1.attn_q_norm.weight", 8, 1);
  EXPECT_TRUE(Find(hparams, "blk.0.attn_norm.weight"));
}

}  // namespace
}  // namespace quern
