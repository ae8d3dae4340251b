#include "runtime/forward/residual.h"

#include <algorithm>

#include "kernels/ops.h"

namespace quern {
namespace {

/// Blocks of columns whose squares are summed apart.
size_t SquareBlocks(size_t n) { return (n + kSquaresBlock - 1) / kSquaresBlock; }

}  // namespace

Residual::Residual(const Model* model, size_t max_rows)
    : model_(model),
      n_embd_(model->hparams().n_embd),
      n_square_blocks_(SquareBlocks(n_embd_)),
      x_(max_rows * n_embd_),
      squares_(max_rows * n_square_blocks_),
      input_(max_rows, n_embd_),
      branch_(StepWidths::Of(model->hparams()).has_post_norms ? max_rows * n_embd_ : 0) {
  for (const TensorSet& layer : model->layers()) {
    for (const TensorRole role : {TensorRole::kAttnQ, TensorRole::kAttnK, TensorRole::kAttnV,
                                  TensorRole::kFfnGate, TensorRole::kFfnUp}) {
      input_.AddReader(layer.matrix(role));
    }
  }
  input_.AddReader(model->output());
}

void Residual::PrepareColumns(StepWorker& worker, const float* norm, size_t row, size_t first,
                              size_t count) {
  const float* values = this->row(row) + first;
  if (norm == nullptr) return input_.Write(row, values, first, count);
  float* weighed = worker.own().row.data();
  SumSquares(values, count, squares_.data() + row * n_square_blocks_ + first / kSquaresBlock);
  Weigh(values, norm + first, 1, count, weighed);
  input_.Write(row, weighed, first, count);
}

float Residual::FactorOf(const double* squares) const {
  return RmsFactor(squares, n_embd_, model_->hparams().norm_eps);
}

ProductInput Residual::Input(StepWorker& worker, const float* norm, size_t n_rows) const {
  if (norm == nullptr) return {input_, nullptr, n_rows};
  float* factors = worker.own().factors.data();
  if (!worker.is_late()) {
    worker.Enter(StepOp::kPrepare);
    for (size_t row = 0; row < n_rows; ++row) {
      factors[row] = FactorOf(squares_.data() + row * n_square_blocks_);
    }
  }
  return {input_, factors, n_rows};
}

void Residual::Add(StepWorker& worker, StepOp op, const WeightMatrix& w, const ProductInput& input,
                   double scale, const float* after, const float* next) {
  if (after == nullptr) {
    // The product adds to the rows itself, its factors being the scale.
    ProductInput scaled = input;
    if (scale != 1) {
      scaled.factors = worker.own().factors.data();
      std::fill_n(worker.own().factors.data(), input.n_rows, static_cast<float>(scale));
    }
    Multiply(worker, *model_, op, scaled, {{w, x_.data(), n_embd_, /*accumulate=*/true}},
             [&](size_t /*product*/, size_t first, size_t last) {
               worker.Enter(StepOp::kPrepare);
               for (size_t row = 0; row < input.n_rows; ++row) {
                 PrepareColumns(worker, next, row, first, last - first);
               }
             });
    return;
  }
  Multiply(worker, *model_, op, input, {{w, branch_.data(), n_embd_}},
           [](size_t /*product*/, size_t /*first*/, size_t /*last*/) {});
  worker.Enter(StepOp::kPrepare);
  worker.ForEachTask(input.n_rows, [&](size_t row) {
    float* branch = branch_.data() + row * n_embd_;
    // The row's place for squares is free until the sum is there.
    double* squares = squares_.data() + row * n_square_blocks_;
    SumSquares(branch, n_embd_, squares);
    Weigh(branch, after, FactorOf(squares), n_embd_, branch);
    for (size_t i = 0; i < n_embd_; ++i) this->row(row)[i] += static_cast<float>(scale) * branch[i];
    PrepareInput(worker, next, row);
  });
}

void Residual::KeepRows(std::span<const size_t> wanted) {
  for (size_t i = 0; i < wanted.size(); ++i) {
    if (wanted[i] != i) std::copy_n(row(wanted[i]), n_embd_, row(i));
  }
}

void Residual::Norm(size_t row, const float* norm, float* out) const {
  Weigh(this->row(row), norm, FactorOf(squares_.data() + row * n_square_blocks_), n_embd_, out);
}

}  // namespace quern
