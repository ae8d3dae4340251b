// Rows of a step as the input of products, in each form that the matrices ask for.
#pragma once

#include <array>
#include <cstddef>

#include "gguf/base/aligned_buffer.h"
#include "gguf/base/check.h"
#include "kernels/matmul.h"

namespace quern {

class ActivationRows {
 public:
  ActivationRows(size_t n_rows, size_t n_cols) : n_rows_(n_rows), n_cols_(n_cols) {}

  /// From now on rows are written in the form that `w`, of at most n_cols columns, asks for.
  void AddReader(const WeightMatrix& w) {
    QUERN_DCHECK(w.n_cols <= n_cols_);
    AlignedBuffer<std::byte>& rows = rows_[Index(ActivationKindOf(w.type))];
    if (rows.size() == 0) rows = AlignedBuffer<std::byte>(n_rows_ * stride(w));
  }

  /// Writes the columns [first, first + count) of a row: whole blocks of kActivationBlock, but at
  /// the row's end.
  void Write(size_t row, const float* values, size_t first, size_t count) {
    for (const ActivationKind kind : {ActivationKind::kF32, ActivationKind::kQ8}) {
      AlignedBuffer<std::byte>& rows = rows_[Index(kind)];
      if (rows.size() == 0) continue;
      PrepareActivationColumns(kind, values, first, count,
                               rows.data() + row * ActivationRowBytes(kind, n_cols_));
    }
  }

  /// The first row, in the form that `w` asks for.
  const std::byte* data(const WeightMatrix& w) const {
    return rows_[Index(ActivationKindOf(w.type))].data();
  }
  /// Bytes from one such row to the next.
  size_t stride(const WeightMatrix& w) const {
    return ActivationRowBytes(ActivationKindOf(w.type), n_cols_);
  }

 private:
  static size_t Index(ActivationKind kind) { return static_cast<size_t>(kind); }
  size_t n_rows_;
  size_t n_cols_;
  std::array<AlignedBuffer<std::byte>, 2> rows_;  ///< of each kind; empty if nobody reads it
};

}  // namespace quern
