// Hyperparameters of a decoder, read from GGUF metadata, and the memory that they imply.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "gguf/base/result.h"
#include "gguf/gguf_file.h"
#include "kernels/attention.h"
#include "kernels/ops.h"

namespace quern {

struct HParams {
  std::string arch;
  std::string name;
  uint32_t n_vocab = 0;
  uint32_t n_ctx_train = 0;
  uint32_t n_embd = 0;
  uint32_t n_layer = 0;
  uint32_t n_ff = 0;
  uint32_t n_head = 0;
  uint32_t n_head_kv = 0;
  uint32_t head_dim = 0;
  uint32_t n_rot = 0;  ///< rotated elements of a head
  float rms_eps = 0;
  RopeStyle rope_style = RopeStyle::kAdjacent;
  /// Angle per position of each rotated pair, scaling included; n_rot/2 values.
  std::vector<double> rope_freqs;

  static Result<HParams> Load(const GgufFile& file);
};

/// What a model will take, computed from its file alone.
struct MemoryEstimate {
  uint64_t weights = 0;
  uint64_t kv_cache = 0;
  uint64_t scratch = 0;
  uint64_t total() const { return weights + kv_cache + scratch; }
};

MemoryEstimate EstimateMemory(const GgufFile& file, const HParams& hparams, size_t n_ctx,
                              KvTypes kv_types);

}  // namespace quern
