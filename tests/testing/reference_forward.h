// A forward pass in double precision, written from the formulas: what logits are measured against.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "gguf/gguf_file.h"
#include "runtime/model/hparams.h"
#include "runtime/text/token.h"

namespace quern::testing {

/// Follows the same descriptions as the runtime (HParams), and shares no code with it but the
/// meaning of GGUF blocks (kernels/reference.h) and the reading of the descriptions. For small
/// files that are known to be good: it keeps every weight as a double and checks nothing.
class ReferenceModel {
 public:
  explicit ReferenceModel(const GgufFile& file, Families families = {});

  size_t n_vocab() const { return embedding_.n_rows; }

  /// Logits of every position, [tokens][n_vocab].
  std::vector<double> Logits(std::span<const Token> tokens) const;

 private:
  struct Matrix {
    size_t n_rows = 0;
    size_t n_cols = 0;
    std::vector<double> values;

    /// y = W x.
    std::vector<double> operator*(std::span<const double> x) const;
  };
  /// Vectors that the file does not have are empty.
  struct Layer {
    std::vector<double> attn_norm, attn_post_norm, ffn_norm, ffn_post_norm;
    std::vector<double> q_bias, k_bias, v_bias, q_norm, k_norm;
    Matrix q, k, v, output, gate, up, down;
  };
  /// Of one layer and sequence, by position.
  struct Cache {
    std::vector<std::vector<double>> keys, values;
  };

  std::vector<double> Norm(std::span<const double> x, std::span<const double> weight) const;
  void NormHeads(std::span<double> heads, std::span<const double> weight) const;
  static void Rotate(const RopeTable& rope, size_t head_dim, size_t position,
                     std::span<double> heads);
  static std::vector<double> Attend(const AttentionSpec& spec, std::span<const double> q,
                                    const Cache& cache);
  std::vector<double> Attention(size_t index, std::span<const double> x, Cache& cache) const;
  std::vector<double> FeedForward(size_t index, std::span<const double> x) const;

  HParams hparams_;
  Matrix embedding_, output_;
  std::vector<double> output_norm_;
  std::vector<Layer> layers_;
};

}  // namespace quern::testing
