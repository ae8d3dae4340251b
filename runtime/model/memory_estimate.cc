#include "runtime/model/memory_estimate.h"

#include <algorithm>

#include "kernels/matmul.h"
#include "runtime/model/kv_layout.h"

namespace quern {
namespace {

/// Code, libraries, tokenizer and what small things there are.
constexpr uint64_t kProgramBytes = 24 << 20;

/// Bytes of a step's buffers for each of its rows: what StepBuffers holds, its widest layer
/// deciding.
uint64_t BytesPerRow(const HParams& hparams) {
  const uint64_t floats = sizeof(float);
  // Inputs of products stand there once more, as floats or as bytes with a scale: the former are
  // taken.
  uint64_t widest = 0;
  for (const LayerSpec& layer : hparams.layers) {
    const AttentionSpec& a = layer.attention;
    const uint64_t attention = a.q_width() + a.k_width() + a.v_width() + 2 * a.out_width();
    const uint64_t feed_forward = 3ULL * layer.ffn.n_ff;
    widest = std::max(widest, attention + feed_forward);
  }
  return (2ULL * hparams.n_embd + widest) * floats;
}

}  // namespace

MemoryEstimate EstimateMemory(const GgufFile& file, const HParams& hparams, size_t n_ctx,
                              KvTypes kv_types, size_t batch_rows) {
  MemoryEstimate estimate;
  for (const TensorInfo& tensor : file.tensors()) {
    // Packed rows come in groups of kRowGroup, the last one padded.
    const uint64_t rows = (tensor.n_rows() + kRowGroup - 1) / kRowGroup * kRowGroup;
    estimate.weights += rows * RowBytes(tensor.type, tensor.n_cols());
  }
  const uint64_t n_pages = (n_ctx + kPageTokens - 1) / kPageTokens;
  for (const KvGroup& group : KvLayout::Of(hparams).groups) {
    estimate.kv_cache += n_pages * group.page_bytes(kv_types);
  }
  estimate.scratch =
      batch_rows * BytesPerRow(hparams) + uint64_t{hparams.n_vocab} * sizeof(float) + kProgramBytes;
  return estimate;
}

}  // namespace quern
