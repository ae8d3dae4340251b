// The attention of a layer: Q, K and V, the softmax over what the cache holds, and the output
// product.
#pragma once

#include <cstddef>

#include "gguf/base/aligned_buffer.h"
#include "kernels/attention.h"
#include "runtime/forward/kv_pool.h"
#include "runtime/forward/residual.h"
#include "runtime/forward/step_buffers.h"
#include "runtime/forward/step_plan.h"
#include "runtime/forward/step_worker.h"
#include "runtime/machine/parts_done.h"
#include "runtime/model/model.h"

namespace quern {

class AttentionBlock {
 public:
  /// All outlive the block. `n_threads`: those that share the work.
  AttentionBlock(const Model* model, KvPool* pool, const StepPlan* plan, StepBuffers* buffers,
                 Residual* residual, size_t max_rows, size_t n_threads);

  /// Before a step, when its plan is there.
  void Prepare();

  /// With n = norm(x) of the layer and `next` the weights of the norm behind:
  ///   q, k, v = W_q n, W_k n, W_v n, with biases where there are; q and k normed by heads and
  ///   turned by RoPE x += residual_scale * after(W_o softmax(scale * q . K) V), K and V of all
  ///   positions seen
  /// In the last layer only the wanted rows go on, and become the first.
  void Run(StepWorker& worker, size_t layer, const float* next);

  /// How many phases Run takes at most.
  static size_t Phases(const LayerSpec& layer) {
    return 2 + Residual::PhasesToAdd(layer.attention_norms.after);
  }

 private:
  /// Q, K or V of a layer: [rows][width], and what is done to its heads.
  struct Heads {
    float* rows;
    size_t width;
    size_t first;       ///< of its heads among those of all three
    const float* bias;  ///< [width], or null
    const float* norm;  ///< [head_dim], or null
    bool turned;
    void (*store)(KvTypes, const float*, size_t, size_t, std::byte*);  ///< to the cache; or null
  };

  bool IsLast(size_t layer) const { return layer + 1 == hparams_.n_layer(); }
  void Project(StepWorker& worker, size_t layer);
  void FinishHeads(StepWorker& worker, size_t layer, const Heads& heads, size_t first, size_t last);
  void FinishHead(size_t layer, const Heads& heads, size_t head, const AttentionTile& tile,
                  size_t row);
  void Attend(StepWorker& worker, size_t layer);
  void FinishTile(size_t layer, size_t tile_index, size_t head_kv, const float* states);
  AttentionArgs ArgsOf(size_t layer, const AttentionTile& tile, size_t head_kv) const;
  static const float* AttendTile(StepWorker& worker, const AttentionArgs& args);
  const float* AttendOneSplit(const AttentionArgs& args, const AttentionSpec& spec,
                              size_t tile_index, size_t head_kv, size_t split);
  bool SharesOutSplits(const AttentionSpec& spec) const;
  size_t SplitStateFloats(const AttentionSpec& spec) const;

  const Model* model_;
  const HParams& hparams_;
  KvPool* pool_;
  const StepPlan* plan_;
  StepBuffers* buffers_;
  Residual* residual_;
  size_t n_threads_;
  /// [row][KV head][split][query of the row and KV head][state], of a step with few tasks and a
  /// long context.
  AlignedBuffer<float> split_states_;
  PartsDone heads_done_;   ///< rows of each Q, K and V head
  PartsDone splits_done_;  ///< of each tile and KV head
  PartsDone tiles_done_;   ///< KV heads of each tile
};

}  // namespace quern
