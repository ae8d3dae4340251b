// Hyperparameters of a decoder, read from GGUF metadata: the description of each layer, and what
// stands around them.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "gguf/base/result.h"
#include "gguf/gguf_file.h"
#include "runtime/model/layer_spec.h"

namespace quern {

struct Architecture;

/// Architectures that a file may be of; none: all that Quern runs.
using Families = std::span<const Architecture* const>;

struct HParams {
  const Architecture* architecture = nullptr;
  std::string name;  ///< the model's own
  uint32_t n_vocab = 0;
  uint32_t n_ctx_train = 0;
  uint32_t n_embd = 0;
  float norm_eps = 0;          ///< of every RMSNorm
  double embedding_scale = 1;  ///< of the embedding's rows
  double logit_scale = 1;      ///< of the logits
  double logit_cap = 0;        ///< c: a logit l becomes c * tanh(l / c); 0: it stays
  std::vector<RopeTable> ropes;
  std::vector<LayerSpec> layers;

  uint32_t n_layer() const { return static_cast<uint32_t>(layers.size()); }

  /// Errors: kUnsupported naming the architecture or what of the description Quern does not run,
  /// kCorruptFile the key or tensor that is off.
  static Result<HParams> Load(const GgufFile& file, Families families = {});
  /// Without a look at the tensors: n_vocab stays 0, and rope_freqs.weight does not count if it is
  /// not there.
  static Result<HParams> FromMetadata(const GgufFile& file, Families families = {});
};

}  // namespace quern
