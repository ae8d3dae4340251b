// What the machine can do at most: loops that only read memory, or only multiply.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>

namespace quern {

/// Seconds of the fastest of three times that `run` is called: the others were disturbed.
double BestTime(const std::function<void()>& run);

/// Reads `n_bytes` (a multiple of 1024) at `bytes`, 64-byte aligned, and does next to nothing with
/// them. Returns a value that depends on all of them.
uint64_t ReadAll(const std::byte* bytes, size_t n_bytes);

/// Does `n` rounds of dot products of unsigned and signed bytes in registers, with as many
/// independent sums as hide the latency. Returns a value that depends on them.
int32_t MultiplyBytes(size_t n);

/// Byte products of one round of MultiplyBytes on the chosen target.
size_t ProductsPerRound();

/// The same for fused multiplications and additions of floats.
float MultiplyFloats(size_t n);
size_t FloatProductsPerRound();

}  // namespace quern
