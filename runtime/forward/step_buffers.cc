#include "runtime/forward/step_buffers.h"

#include <algorithm>

#include "kernels/attention.h"

namespace quern {

StepWidths StepWidths::Of(const HParams& hparams) {
  StepWidths widths;
  for (const LayerSpec& layer : hparams.layers) {
    const AttentionSpec& attention = layer.attention;
    widths.q = std::max<size_t>(widths.q, attention.q_width());
    widths.k = std::max<size_t>(widths.k, attention.k_width());
    widths.v = std::max<size_t>(widths.v, attention.v_width());
    widths.attended = std::max<size_t>(widths.attended, attention.out_width());
    widths.ff = std::max<size_t>(widths.ff, layer.ffn.n_ff);
    widths.tile_states = std::max(widths.tile_states, kTileTokens * attention.group() *
                                                          AttentionStateFloats(attention.k_dim));
    widths.n_head = std::max<size_t>(widths.n_head, attention.n_head);
    widths.n_head_kv = std::max<size_t>(widths.n_head_kv, attention.n_head_kv);
    widths.has_post_norms |= layer.attention_norms.after || layer.ffn_norms.after;
  }
  return widths;
}

StepBuffers::StepBuffers(const Model& model, size_t max_rows, size_t n_threads)
    : widths(StepWidths::Of(model.hparams())),
      q(max_rows * widths.q),
      k(max_rows * widths.k),
      v(max_rows * widths.v),
      attention(max_rows * widths.attended),
      attended(max_rows, widths.attended),
      gate(max_rows * widths.ff),
      up(max_rows * widths.ff),
      gated(max_rows, widths.ff),
      n_vocab_(model.hparams().n_vocab),
      n_embd_(model.hparams().n_embd) {
  for (const TensorSet& layer : model.layers()) {
    attended.AddReader(layer.matrix(TensorRole::kAttnOutput));
    gated.AddReader(layer.matrix(TensorRole::kFfnDown));
  }
  for (const RopeTable& rope : model.hparams().ropes) {
    cos.emplace_back(max_rows * rope.n_rot / 2);
    sin.emplace_back(max_rows * rope.n_rot / 2);
  }
  for (size_t i = 0; i < n_threads; ++i) {
    own.push_back({.states = AlignedBuffer<float>(widths.tile_states),
                   .next = AlignedBuffer<float>(widths.tile_states),
                   .row = AlignedBuffer<float>(n_embd_),
                   .factors = AlignedBuffer<float>(max_rows)});
  }
}

void StepBuffers::Prepare(const StepPlan& plan) {
  const size_t n_logits = plan.n_logits() * n_vocab_;
  if (logits.size() < n_logits) logits = AlignedBuffer<float>(n_logits);
  const size_t n_hidden = (plan.wanted().size() - plan.n_logits()) * n_embd_;
  if (hidden.size() < n_hidden) hidden = AlignedBuffer<float>(n_hidden);
}

}  // namespace quern
