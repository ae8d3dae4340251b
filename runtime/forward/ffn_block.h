// The feed-forward of a layer.
#pragma once

#include <cstddef>

#include "runtime/forward/residual.h"
#include "runtime/forward/step_buffers.h"
#include "runtime/forward/step_worker.h"
#include "runtime/model/model.h"

namespace quern {

class FfnBlock {
 public:
  /// All outlive the block.
  FfnBlock(const Model* model, StepBuffers* buffers, Residual* residual)
      : model_(model), buffers_(buffers), residual_(residual) {}

  /// With n = norm(x) of the first `n_rows` rows and `next` the weights of the norm behind:
  ///   x += residual_scale * after(W_down (silu(W_gate n) * W_up n))
  void Run(StepWorker& worker, size_t layer, size_t n_rows, const float* next);

  /// How many phases Run takes.
  static size_t Phases(const LayerSpec& layer) {
    return 1 + Residual::PhasesToAdd(layer.ffn_norms.after);
  }

 private:
  const Model* model_;
  StepBuffers* buffers_;
  Residual* residual_;
};

}  // namespace quern
