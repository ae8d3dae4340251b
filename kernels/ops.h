// The row operations of a decoder layer other than products and attention: norm, RoPE, SwiGLU.
#pragma once

#include <cstddef>
#include <cstdint>

namespace quern {

/// out[i] = x[i] * w[i] / sqrt(mean(x^2) + eps); the mean is accumulated in double. `out` may be
/// `x`.
void RmsNorm(const float* x, const float* w, size_t n, float eps, float* out);

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
