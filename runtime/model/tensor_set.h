// The weights of one layer, or of what stands outside the layers, by their roles.
#pragma once

#include <array>
#include <cstddef>
#include <vector>

#include "kernels/matmul.h"
#include "runtime/model/tensor_role.h"

namespace quern {

class TensorSet {
 public:
  bool Has(TensorRole role) const {
    return matrix(role).n_rows > 0 || !vectors_[Index(role)].empty();
  }
  /// [n_rows][n_cols], rows being what a product gives; of no rows where the file has none.
  const WeightMatrix& matrix(TensorRole role) const { return matrices_[Index(role)]; }
  WeightMatrix& matrix(TensorRole role) { return matrices_[Index(role)]; }
  /// Null where the file has none.
  const float* vector(TensorRole role) const {
    return vectors_[Index(role)].empty() ? nullptr : vectors_[Index(role)].data();
  }
  void SetVector(TensorRole role, std::vector<float> values) {
    vectors_[Index(role)] = std::move(values);
  }

  /// Those that there are, in the order of roles.
  std::vector<const WeightMatrix*> Matrices() const {
    std::vector<const WeightMatrix*> all;
    for (const WeightMatrix& matrix : matrices_) {
      if (matrix.n_rows > 0) all.push_back(&matrix);
    }
    return all;
  }
  /// Elements of all vectors.
  size_t n_vector_elements() const {
    size_t n = 0;
    for (const std::vector<float>& vector : vectors_) n += vector.size();
    return n;
  }

 private:
  static size_t Index(TensorRole role) { return static_cast<size_t>(role); }
  std::array<WeightMatrix, kTensorRoles> matrices_;
  std::array<std::vector<float>, kTensorRoles> vectors_;
};

}  // namespace quern
