// Which tensors the files of a family have, and in which shapes: the one table that loader, tools
// and estimates read.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <string>
#include <vector>

#include "runtime/model/tensor_role.h"

namespace quern {

struct HParams;
struct LayerSpec;

/// A length in terms of hyperparameters, some of them the layer's.
enum class Extent : uint8_t {
  kOne,
  kVocab,
  kEmbd,
  kQ,         ///< all heads of Q
  kK,         ///< all heads of K
  kV,         ///< all heads of V
  kAttended,  ///< all heads of attention's result
  kKHead,     ///< one head of Q or K
  kFf,
  kRotPairs,  ///< of the first RoPE table
};

/// A row of the table.
struct TensorSpec {
  TensorRole role;
  Extent n_cols;
  Extent n_rows = Extent::kOne;
  bool optional = false;
  /// Which layers have it; null: all.
  bool (*in_layer)(const LayerSpec& layer) = nullptr;
};

/// In the order of files.
struct TensorTable {
  std::vector<TensorSpec> input;   ///< before the layers
  std::vector<TensorSpec> layer;   ///< of each layer
  std::vector<TensorSpec> output;  ///< behind the layers

  /// With these tensors of layers too, or in the place of those with the same role.
  TensorTable With(std::initializer_list<TensorSpec> of_layers) const;
};

/// The table of most decoders, as their LayerSpec says: Q, K and V apart, possibly with biases; a
/// gated feed-forward; those norms that there are; an output matrix that is left out where it is
/// the embedding.
TensorTable DecoderTensors();

/// A tensor of one model.
struct ModelTensor {
  TensorRole role;
  uint32_t layer = 0;
  bool optional = false;
  uint64_t n_cols = 0;
  uint64_t n_rows = 1;

  std::string name() const { return TensorName(role, layer); }
};

/// All tensors that a model with these hyperparameters may have, in the order of files.
std::vector<ModelTensor> TensorsOf(const HParams& hparams);

}  // namespace quern
