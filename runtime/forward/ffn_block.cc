#include "runtime/forward/ffn_block.h"

#include "kernels/ops.h"
#include "runtime/forward/products.h"

namespace quern {

void FfnBlock::Run(StepWorker& worker, size_t layer, size_t n_rows, const float* next) {
  const TensorSet& weights = model_->layers()[layer];
  const LayerSpec& spec = model_->hparams().layers[layer];
  const size_t n_ff = spec.ffn.n_ff;
  StepBuffers& b = *buffers_;

  MultiplyPair(worker, *model_, StepOp::kFfnGateUp,
               residual_->Input(worker, weights.vector(TensorRole::kFfnNorm), n_rows),
               {weights.matrix(TensorRole::kFfnGate), b.gate.data(), n_ff},
               {weights.matrix(TensorRole::kFfnUp), b.up.data(), n_ff},
               [&](size_t first, size_t last) {
                 for (size_t row = 0; row < n_rows; ++row) {
                   float* gate = b.gate.data() + row * n_ff + first;
                   SwiGlu(gate, b.up.data() + row * n_ff + first, last - first, gate);
                   b.gated.Write(row, gate, first, last - first);
                 }
               });
  residual_->Add(worker, StepOp::kFfnDown, weights.matrix(TensorRole::kFfnDown),
                 {b.gated, nullptr, n_rows}, spec.residual_scale,
                 weights.vector(TensorRole::kFfnPostNorm), next);
}

}  // namespace quern
