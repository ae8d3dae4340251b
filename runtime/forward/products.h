// Products of the rows of a step with weight matrices, shared out over the matrices' row groups.
#pragma once

#include <algorithm>
#include <cstddef>
#include <initializer_list>
#include <utility>

#include "kernels/activations.h"
#include "kernels/matmul.h"
#include "kernels/ops.h"
#include "runtime/forward/activation_rows.h"
#include "runtime/forward/step_worker.h"
#include "runtime/model/model.h"

namespace quern {

// What a chunk of a product gives are whole blocks of the next one's input.
static_assert(Model::kGroupUnit * kRowGroup % kActivationBlock == 0);
static_assert(Model::kGroupUnit * kRowGroup % kSquaresBlock == 0);

/// The first `n_rows` rows of what products read.
struct ProductInput {
  const ActivationRows& rows;
  const float* factors;  ///< of each row; null: 1
  size_t n_rows;
};

/// out[row][i] (+)= factor of the row * w[i] . row, rows being out_stride floats apart.
struct Product {
  const WeightMatrix& w;
  float* out;
  size_t out_stride;
  bool accumulate = false;
};

/// The rows of groups [begin, end) of a product.
inline void MultiplyGroups(const Product& product, size_t begin, size_t end,
                           const ProductInput& input) {
  MatMul({.w = product.w,
          .group_begin = begin,
          .group_end = end,
          .x = input.rows.data(product.w),
          .x_stride = input.rows.stride(product.w),
          .n_tokens = input.n_rows,
          .factors = input.factors,
          .out = product.out,
          .out_stride = product.out_stride,
          .accumulate = product.accumulate});
}

/// A phase: all products of one input, over the row groups of all their matrices together.
/// after(product, first, last): columns [first, last) of that product are there, of all rows.
template <typename After>
void Multiply(StepWorker& worker, const Model& model, StepOp op, const ProductInput& input,
              std::initializer_list<Product> products, const After& after) {
  // A node's groups of all products, one after the other.
  const auto part_of = [&](size_t node) {
    size_t n_groups = 0;
    for (const Product& product : products) {
      const auto [first, last] = model.GroupsOf(product.w, node);
      n_groups += last - first;
    }
    return std::pair<size_t, size_t>(0, n_groups);
  };
  worker.ForEachChunk(Model::kGroupUnit, part_of, [&](const NodeWork::Chunk& chunk) {
    size_t done = 0;  // groups of the products before
    for (size_t i = 0; i < products.size(); ++i) {
      const Product& product = products.begin()[i];
      const auto [first, last] = model.GroupsOf(product.w, chunk.node);
      const size_t from = std::max(chunk.begin, done);
      const size_t to = std::min(chunk.end, done + last - first);
      if (from < to) {
        const size_t begin = first + from - done;
        const size_t end = first + to - done;
        worker.Enter(op);
        MultiplyGroups(product, begin, end, input);
        after(i, begin * kRowGroup, std::min(product.w.n_rows, end * kRowGroup));
      }
      done += last - first;
    }
  });
}

/// A phase: two products of matrices of equal shape, whose columns are made side by side.
/// after(first, last): these columns of both are there, of all rows.
template <typename After>
void MultiplyPair(StepWorker& worker, const Model& model, StepOp op, const ProductInput& input,
                  const Product& a, const Product& b, const After& after) {
  worker.Enter(op);
  const auto groups_of = [&](size_t node) { return model.GroupsOf(a.w, node); };
  worker.ForEachChunk(Model::kGroupUnit, groups_of, [&](const NodeWork::Chunk& chunk) {
    MultiplyGroups(a, chunk.begin, chunk.end, input);
    MultiplyGroups(b, chunk.begin, chunk.end, input);
    after(chunk.begin * kRowGroup, std::min(a.w.n_rows, chunk.end * kRowGroup));
  });
}

}  // namespace quern
