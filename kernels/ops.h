// The row operations of a decoder layer other than products and attention: norm, RoPE, SwiGLU.
#pragma once

#include <cstddef>
#include <cstdint>

namespace quern {

// RMSNorm, x[i] * w[i] / sqrt(mean(x^2) + eps), in parts: its root is a factor of the whole row,
// which goes through a product with a matrix, so that whoever makes some columns of x can make the
// product's input of them before the others are there.

/// Columns that SumSquares adds to one sum.
inline constexpr size_t kSquaresBlock = 32;

/// sums[b] = sum of x[i]^2 of block b, in double: (n + kSquaresBlock - 1) / kSquaresBlock of them.
void SumSquares(const float* x, size_t n, double* sums);

/// 1 / sqrt(mean + eps) of a row of `n` columns, of which `sums` are all the blocks' sums.
float RmsFactor(const double* sums, size_t n, float eps);

/// out[i] = x[i] * w[i] * factor. `out` may be `x`.
void Weigh(const float* x, const float* w, float factor, size_t n, float* out);

/// Which elements of a head RoPE turns together.
enum class RopeStyle : uint8_t {
  kAdjacent,  ///< (0,1), (2,3), ...: how GGUF stores Llama's permuted Q and K
  kHalves,    ///< (0,n/2), (1,n/2+1), ...: GPT-NeoX, Qwen
};

/// Rotates the first `n_rot` elements of each of `n_head` heads of `head_dim` in place.
/// cos and sin hold n_rot/2 values, for the row's position.
void Rope(RopeStyle style, const float* cos, const float* sin, size_t n_head, size_t head_dim,
          size_t n_rot, float* x);

/// out[i] = gate[i] / (1 + exp(-gate[i])) * up[i]. `out` may be `gate` or `up`.
void SwiGlu(const float* gate, const float* up, size_t n, float* out);

}  // namespace quern
