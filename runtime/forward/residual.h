// The residual stream: rows that each block reads, normed, and adds its result to.
#pragma once

#include <cstddef>
#include <span>

#include "gguf/base/aligned_buffer.h"
#include "runtime/forward/activation_rows.h"
#include "runtime/forward/products.h"
#include "runtime/forward/step_worker.h"
#include "runtime/model/model.h"

namespace quern {

/// RMSNorm before a product is done in two parts: rows times the norm's weights are the product's
/// input, and the factor of a row, 1 / rms, goes through the product. So whoever makes some columns
/// of a row can make the next product's input of them before the others are there.
class Residual {
 public:
  Residual(const Model* model, size_t max_rows);

  float* row(size_t row) { return x_.data() + row * n_embd_; }
  const float* row(size_t row) const { return x_.data() + row * n_embd_; }

  /// Makes of all columns of a row what products behind a norm of weights `norm` take; null: no
  /// norm.
  void PrepareInput(StepWorker& worker, const float* norm, size_t row) {
    PrepareColumns(worker, norm, row, 0, n_embd_);
  }

  /// What PrepareInput or Add made of the first `n_rows` rows, as the input of products. Each
  /// thread computes the factors for itself: a row of 4096 columns takes 30 ns.
  ProductInput Input(StepWorker& worker, const float* norm, size_t n_rows) const;

  /// x += scale * after(w . input), one phase, or two with an `after`, whose weights are null where
  /// the block's result is not normed. Makes of the sum what comes behind a norm of weights `next`.
  void Add(StepWorker& worker, StepOp op, const WeightMatrix& w, const ProductInput& input,
           double scale, const float* after, const float* next);
  /// How many phases that takes.
  static size_t PhasesToAdd(bool has_after) { return has_after ? 2 : 1; }

  /// Moves the rows `wanted`, which ascend, to the front.
  void KeepRows(std::span<const size_t> wanted);

  /// The whole norm of a row: out[i] = x[i] * norm[i] / rms.
  void Norm(size_t row, const float* norm, float* out) const;

 private:
  void PrepareColumns(StepWorker& worker, const float* norm, size_t row, size_t first,
                      size_t count);
  float FactorOf(const double* squares) const;

  const Model* model_;
  size_t n_embd_;
  size_t n_square_blocks_;
  AlignedBuffer<float> x_;         ///< [max_rows][n_embd]
  AlignedBuffer<double> squares_;  ///< of x, [max_rows][n_square_blocks]; see SumSquares
  ActivationRows input_;           ///< x times the next norm's weights
  AlignedBuffer<float> branch_;    ///< what a block gives, where that is normed before it is added
};

}  // namespace quern
