#include "runtime/model/memory_estimate.h"

#include <gtest/gtest.h>

#include "tests/testing/tiny_model.h"

namespace quern {
namespace {

class MemoryEstimateTest : public ::testing::Test {
 protected:
  static SyntheticModel Shapes() {
    SyntheticModel shapes;
    shapes.type = GgmlType::kF16;
    return shapes;
  }
  MemoryEstimate Estimate(size_t n_ctx, size_t batch_rows, KvTypes types = KvType::kF16) const {
    return EstimateMemory(file_, hparams_, n_ctx, types, batch_rows);
  }

  testing::TinyModel tiny_{Shapes()};
  GgufFile file_ = tiny_.Open();
  HParams hparams_ = HParams::Load(file_).value();
};

TEST_F(MemoryEstimateTest, WeightsAreTheFilesTensors) {
  uint64_t bytes = 0;
  for (const TensorInfo& tensor : file_.tensors()) bytes += tensor.data.size();
  EXPECT_GE(Estimate(64, 1).weights, bytes);
  EXPECT_LT(Estimate(64, 1).weights, bytes * 11 / 10);
}

TEST_F(MemoryEstimateTest, CacheIsOfWholePagesAndItsTypes) {
  const AttentionSpec& attention = hparams_.layers.front().attention;
  const uint64_t page = uint64_t{hparams_.n_layer()} * attention.n_head_kv *
                        KvHeadPageBytes(KvType::kF16, attention.k_dim);
  EXPECT_EQ(Estimate(100, 1).kv_cache, 2 * page);
  EXPECT_LT(Estimate(100, 1, KvType::kQ8).kv_cache, 2 * page);
}

/// Buffers grow by the row: at least residual, Q, K, V and the feed-forward's two halves.
TEST_F(MemoryEstimateTest, WorkGrowsWithTheBatch) {
  const LayerSpec& layer = hparams_.layers.front();
  const uint64_t least = 4 * (hparams_.n_embd + layer.attention.q_width() +
                              2 * layer.attention.k_width() + 2 * layer.ffn.n_ff);
  EXPECT_GE(Estimate(64, 512).scratch - Estimate(64, 256).scratch, 256 * least);
}

}  // namespace
}  // namespace quern
