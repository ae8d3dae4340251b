// A Llama forward pass in double precision, written from the formulas: what logits are measured
// against.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "gguf/gguf_file.h"
#include "runtime/text/token.h"

namespace quern::testing {

/// Shares nothing with the runtime but the meaning of GGUF blocks (kernels/reference.h). For small
/// files that are known to be good: it keeps every weight as a double and checks nothing.
class ReferenceModel {
 public:
  explicit ReferenceModel(const GgufFile& file);

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
  struct Layer {
    std::vector<double> attn_norm, ffn_norm;
    Matrix q, k, v, output, gate, up, down;
  };

  std::vector<double> Norm(std::span<const double> x, std::span<const double> weight) const;
  void Rotate(size_t position, std::span<double> heads) const;
  std::vector<double> Attend(std::span<const double> q, std::span<const std::vector<double>> keys,
                             std::span<const std::vector<double>> values) const;

  double rms_eps_;
  size_t n_head_, n_head_kv_, head_dim_;
  std::vector<double> frequencies_;  // radians per position of pair i, head_dim/2 of them
  Matrix embedding_, output_;
  std::vector<double> output_norm_;
  std::vector<Layer> layers_;
};

}  // namespace quern::testing
