#include "runtime/model/tensor_table.h"

#include <algorithm>

#include "runtime/model/architecture.h"
#include "runtime/model/hparams.h"

namespace quern {
namespace {

uint64_t Length(Extent extent, const HParams& hparams, const LayerSpec& layer) {
  switch (extent) {
    case Extent::kOne:
      return 1;
    case Extent::kVocab:
      return hparams.n_vocab;
    case Extent::kEmbd:
      return hparams.n_embd;
    case Extent::kQ:
      return layer.attention.q_width();
    case Extent::kK:
      return layer.attention.k_width();
    case Extent::kV:
      return layer.attention.v_width();
    case Extent::kAttended:
      return layer.attention.out_width();
    case Extent::kKHead:
      return layer.attention.k_dim;
    case Extent::kFf:
      return layer.ffn.n_ff;
    case Extent::kRotPairs:
      return hparams.ropes.empty() ? 0 : hparams.ropes.front().n_rot / 2;
  }
  return 0;
}

}  // namespace

TensorTable TensorTable::With(std::initializer_list<TensorSpec> of_layers) const {
  TensorTable table = *this;
  for (const TensorSpec& spec : of_layers) {
    const auto same = std::ranges::find(table.layer, spec.role, &TensorSpec::role);
    if (same == table.layer.end()) {
      table.layer.push_back(spec);
    } else {
      *same = spec;
    }
  }
  return table;
}

TensorTable DecoderTensors() {
  using enum TensorRole;
  const auto norms_q_and_k = [](const LayerSpec& l) {
    return l.attention.qk_norm != QkNorm::kNone;
  };
  return {
      .input = {{.role = kRopeFreqs, .n_cols = Extent::kRotPairs, .optional = true},
                {kTokenEmbd, Extent::kEmbd, Extent::kVocab}},
      .layer = {{.role = kAttnNorm,
                 .n_cols = Extent::kEmbd,
                 .in_layer = [](const LayerSpec& l) { return l.attention_norms.before; }},
                {kAttnQ, Extent::kEmbd, Extent::kQ},
                {kAttnK, Extent::kEmbd, Extent::kK},
                {kAttnV, Extent::kEmbd, Extent::kV},
                {.role = kAttnQBias, .n_cols = Extent::kQ, .optional = true},
                {.role = kAttnKBias, .n_cols = Extent::kK, .optional = true},
                {.role = kAttnVBias, .n_cols = Extent::kV, .optional = true},
                {.role = kAttnQNorm, .n_cols = Extent::kKHead, .in_layer = norms_q_and_k},
                {.role = kAttnKNorm, .n_cols = Extent::kKHead, .in_layer = norms_q_and_k},
                {kAttnOutput, Extent::kAttended, Extent::kEmbd},
                {.role = kAttnPostNorm,
                 .n_cols = Extent::kEmbd,
                 .in_layer = [](const LayerSpec& l) { return l.attention_norms.after; }},
                {.role = kFfnNorm,
                 .n_cols = Extent::kEmbd,
                 .in_layer = [](const LayerSpec& l) { return l.ffn_norms.before; }},
                {kFfnGate, Extent::kEmbd, Extent::kFf},
                {kFfnUp, Extent::kEmbd, Extent::kFf},
                {kFfnDown, Extent::kFf, Extent::kEmbd},
                {.role = kFfnPostNorm,
                 .n_cols = Extent::kEmbd,
                 .in_layer = [](const LayerSpec& l) { return l.ffn_norms.after; }}},
      .output = {
          {kOutputNorm, Extent::kEmbd},
          {.role = kOutput, .n_cols = Extent::kEmbd, .n_rows = Extent::kVocab, .optional = true}}};
}

std::vector<ModelTensor> TensorsOf(const HParams& hparams) {
  static const LayerSpec kNoLayer{};
  const TensorTable table = hparams.architecture->tensors();
  std::vector<ModelTensor> tensors;
  const auto add = [&](const TensorSpec& spec, uint32_t index, const LayerSpec& layer) {
    tensors.push_back({.role = spec.role,
                       .layer = index,
                       .optional = spec.optional,
                       .n_cols = Length(spec.n_cols, hparams, layer),
                       .n_rows = Length(spec.n_rows, hparams, layer)});
  };
  for (const TensorSpec& spec : table.input) add(spec, 0, kNoLayer);
  for (uint32_t i = 0; i < hparams.n_layer(); ++i) {
    const LayerSpec& layer = hparams.layers[i];
    for (const TensorSpec& spec : table.layer) {
      if (spec.in_layer == nullptr || spec.in_layer(layer)) add(spec, i, layer);
    }
  }
  for (const TensorSpec& spec : table.output) add(spec, 0, kNoLayer);
  return tensors;
}

}  // namespace quern
