// The memory that a step computes in: rows of floats for each kind of intermediate result, made
// once for the widest layer.
#pragma once

#include <cstddef>
#include <vector>

#include "gguf/base/aligned_buffer.h"
#include "runtime/forward/activation_rows.h"
#include "runtime/forward/step_plan.h"
#include "runtime/model/model.h"

namespace quern {

/// What one thread keeps for itself.
struct ThreadScratch {
  AlignedBuffer<float> states;   ///< attention's, of the queries of a tile and KV head
  AlignedBuffer<float> next;     ///< the same, of the split that is merged next
  AlignedBuffer<float> row;      ///< [n_embd]
  AlignedBuffer<float> factors;  ///< of each row, for the product under way
};

/// The widest of all layers.
struct StepWidths {
  static StepWidths Of(const HParams& hparams);
  size_t q = 0;
  size_t k = 0;
  size_t v = 0;
  size_t attended = 0;
  size_t ff = 0;
  size_t tile_states = 0;  ///< floats of attention states of a tile and KV head
  size_t n_head = 0;
  size_t n_head_kv = 0;
  bool has_post_norms = false;
};

/// Rows stand one behind the other, each as wide as the layer under way has them.
struct StepBuffers {
  StepBuffers(const Model& model, size_t max_rows, size_t n_threads);

  /// Makes room for what a step is to give.
  void Prepare(const StepPlan& plan);

  StepWidths widths;
  AlignedBuffer<float> q, k, v;
  AlignedBuffer<float> attention;  ///< the heads' results, [rows][n_head * v_dim]
  ActivationRows attended;         ///< attention as the output product's input
  AlignedBuffer<float> gate, up;   ///< [rows][n_ff]
  ActivationRows gated;            ///< as the down product's input
  /// Of each RoPE table, [rows][n_rot / 2].
  std::vector<AlignedBuffer<float>> cos, sin;
  AlignedBuffer<float> logits;     ///< [n_logits][n_vocab]
  AlignedBuffer<float> hidden;     ///< [n_hidden][n_embd]
  std::vector<ThreadScratch> own;  ///< of each thread

 private:
  size_t n_vocab_;
  size_t n_embd_;
};

}  // namespace quern
